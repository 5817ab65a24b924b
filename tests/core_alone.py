"""Deliver an e-mail where only the core is installed: run as a script, not collected by pytest."""

import asyncio
import importlib.metadata
import sys

from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    Notification,
    NotificationService,
    NullObserver,
    Sent,
)
from pinguin_core.testing.fakes import MemoryRepository, RecordingSender


class Delivered(NullObserver):
    """An observer that lets one wait for the first final state."""

    def __init__(self) -> None:
        self.last: asyncio.Future[Notification] = asyncio.get_running_loop().create_future()

    def on_change(self, notification: Notification) -> None:
        if notification.is_final:
            self.last.set_result(notification)

    def on_trouble(self, where: str, error: Exception) -> None:
        self.last.set_exception(error)


async def main() -> None:
    store, sender, observer = MemoryRepository(), RecordingSender[Email](), Delivered()
    dispatcher = Dispatcher(store, email=sender, observer=observer)
    service = NotificationService(store, on_queued=dispatcher.wake)
    async with dispatcher:
        await service.send(Email(EmailAddress("ada@example.com"), "Hi", "Hello"))
        delivered = await asyncio.wait_for(observer.last, 10)
    assert isinstance(delivered.state, Sent), delivered
    assert len(sender.delivered) == 1, sender


others = {distribution.name for distribution in importlib.metadata.distributions()}
assert others <= {"pinguin", "pip", "setuptools", "wheel"}, others
asyncio.run(main())
print("delivered with", sys.version.split()[0], "and the standard library")
