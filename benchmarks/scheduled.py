"""How punctually an idle service releases what is scheduled.

python benchmarks/scheduled.py [notifications]
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from harness import percentile, tell, tell_machine

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    NotificationId,
    NotificationService,
    Receipt,
    SystemClock,
)

SPAN = 15.0
MESSAGE = Email(EmailAddress("ada@example.com"), "Your order", "It is on its way. " * 10)
clock = SystemClock()


class Noting:
    """Notes when each is handed over."""

    def __init__(self) -> None:
        self.times: dict[NotificationId, datetime] = {}
        self.noted = asyncio.Event()

    async def send(
        self,
        message: Email,  # noqa: ARG002 (the port dictates the arguments)
        *,
        id: NotificationId,
        date: datetime,  # noqa: ARG002 (the port dictates the arguments)
    ) -> Receipt:
        """Note the time."""
        self.times[id] = clock.now()
        self.noted.set()
        return Receipt(str(id))


async def lateness(path: Path, count: int) -> list[float]:
    sender = Noting()
    async with (
        SqlModelNotificationRepository.open(f"sqlite:///{path}") as store,
        Dispatcher(store, email=sender) as dispatcher,
    ):
        service = NotificationService(store, on_queued=dispatcher.wake)
        due = {}
        start = clock.now() + timedelta(seconds=1)
        for _ in range(count):
            moment = start + timedelta(seconds=random.uniform(0, SPAN))
            due[(await service.send(MESSAGE, scheduled_at=moment)).id] = moment
        while len(sender.times) < count:
            await sender.noted.wait()
            sender.noted.clear()
    return [(sender.times[name] - moment).total_seconds() * 1e3 for name, moment in due.items()]


def main(count: int) -> None:
    tell_machine()
    with TemporaryDirectory() as name:
        late = uvloop.run(lateness(Path(name) / "pinguin.db", count))
    tell("earliest", min(late), "ms", "never below 0")
    tell("p50", percentile(late, 0.5), "ms")
    tell("p99", percentile(late, 0.99), "ms", "target 100")
    tell("latest", max(late), "ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
