"""Processes of an application: one that is killed amid its transaction, and ones that deliver."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from multiprocessing.connection import Connection

from support.outbox_application import WELCOME, engine_of

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, enqueue
from pinguin_core import Dispatcher, EmailAddress, Notification, NullObserver


def enqueue_and_wait(url: str, test: Connection, *, commit: bool) -> None:
    """Enqueue, say so, and go no further."""
    with engine_of(url).connect() as connection:
        queued = enqueue(connection, WELCOME)
        if commit:
            connection.commit()
        test.send(str(queued.id))
        test.recv()


class _Telling(NullObserver):
    def __init__(self, test: Connection) -> None:
        self._test = test

    def on_change(self, notification: Notification) -> None:
        if notification.is_final:
            self._test.send(str(notification.id))


def deliver_for_ever(url: str, port: int, test: Connection) -> None:
    """Deliver to the relay on this port, and tell what is final."""

    async def deliver() -> None:
        relay = SmtpRelay("127.0.0.1", port)
        async with (
            SqlModelNotificationRepository.open(url) as store,
            SmtpSender(relay, from_address=EmailAddress("shop@example.com")) as sender,
            Dispatcher(
                store,
                email=sender,
                observer=_Telling(test),
                poll_interval=timedelta(milliseconds=50),
            ),
        ):
            test.send("ready")
            await asyncio.Event().wait()

    asyncio.run(deliver())
