"""How much room a sent e-mail takes in an SQLite file.

    python benchmarks/growth.py

Lets e-mails of two lengths be sent, with and without an idempotency key, and divides the size of
the closed file by their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    IdempotencyKey,
    Notification,
    NotificationId,
    NotificationService,
    NullObserver,
    Receipt,
)

COUNT: Final = 5_000
AT_ONCE: Final = 500
PATIENCE: Final = 60.0  # seconds
SUBJECT: Final = "Your order is on its way"


class Relay:
    """A sender that takes everything, and answers as a relay does."""

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:  # noqa: ARG002 (the port's)
        """Take it."""
        return Receipt(f"<{id}@example.com>", "250", "2.0.0 Ok: queued as 4F2B31C0A3")


class Ended(NullObserver):
    """Waits until all have come to an end."""

    def __init__(self) -> None:
        self.count = 0
        self.all = asyncio.Event()

    def on_change(self, notification: Notification) -> None:
        """Count the final ones."""
        self.count += notification.is_final
        if self.count == COUNT:
            self.all.set()


def message(number: int, length: int) -> Email:
    return Email(EmailAddress(f"customer{number:06}@example.com"), SUBJECT, "x" * length)


async def send_all(file: Path, messages: Sequence[Email], *, keyed: bool) -> None:
    ended = Ended()
    async with (
        SqlModelNotificationRepository.open(f"sqlite:///{file}") as store,
        Dispatcher(store, email=Relay(), observer=ended) as dispatcher,
    ):
        service = NotificationService(store, on_queued=dispatcher.wake)
        for start in range(0, COUNT, AT_ONCE):
            await asyncio.gather(
                *(
                    service.send(
                        each, idempotency_key=IdempotencyKey(str(uuid4())) if keyed else None
                    )
                    for each in messages[start : start + AT_ONCE]
                )
            )
        await asyncio.wait_for(ended.all.wait(), PATIENCE)


def main() -> None:
    for length in (100, 1_000):
        messages = [message(number, length) for number in range(COUNT)]
        texts = sum(len(each.to.value + each.subject + each.body) for each in messages)
        for keyed in (False, True):
            with TemporaryDirectory() as folder:
                file = Path(folder, "growth.db")
                asyncio.run(send_all(file, messages, keyed=keyed))
                size = file.stat().st_size
            each, own = size / COUNT, (size - texts) / COUNT
            print(
                f"{length:5} characters, {'a' if keyed else 'no'} key: "
                f"{each:.0f} bytes each, {own:.0f} besides address, subject and text"
            )


if __name__ == "__main__":
    main()
