"""Send one e-mail, and wait to see what becomes of it: `asyncio_script.py ada@example.com`."""

import asyncio
import os
import sys

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    Notification,
    NotificationService,
    NullObserver,
    Sent,
)

RELAY = SmtpRelay(os.environ["SMTP_HOST"], int(os.environ.get("SMTP_PORT", "587")))


class Outcomes(NullObserver):
    """Notes every notification that is sent, or has failed for good."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[Notification]()

    def on_change(self, notification: Notification) -> None:
        if notification.is_final:
            self.queue.put_nowait(notification)


async def main(recipient: str) -> None:
    outcomes = Outcomes()
    async with (
        SqlModelNotificationRepository.open("sqlite:///notifications.db") as store,
        SmtpSender(RELAY, from_address=EmailAddress("hello@example.com")) as sender,
        Dispatcher(store, email=sender, observer=outcomes) as dispatcher,
    ):
        service = NotificationService(store, on_queued=dispatcher.wake)
        queued = await service.send(Email(EmailAddress(recipient), "Hi", "Hello"))
        print(queued.id, "is stored, and will be delivered")
        while (final := await outcomes.queue.get()).id != queued.id:
            pass  # one that an earlier run left behind
        print("sent" if isinstance(final.state, Sent) else final.last_error)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
