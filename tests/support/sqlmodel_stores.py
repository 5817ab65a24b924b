"""Opening stores in files of their own, and notifications to put there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Email,
    EmailAddress,
    Notification,
    NotificationId,
    Observer,
    PhoneNumber,
    Sms,
)
from pinguin_core.testing.fakes import NOON

T = TypeVar("T")

_PATIENCE: Final = 90.0  # seconds after which a test that hangs is ended; a busy machine needs some

MIB: Final = 1 << 20
ADDRESS: Final = "countess@example.com"
SUBJECT: Final = "A secret subject"
BODY: Final = "A secret body"


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, _PATIENCE))


def opened(
    place: Path | str, observer: Observer | None = None
) -> AbstractAsyncContextManager[SqlModelNotificationRepository]:
    """Open a file, or what a URL names."""
    url = f"sqlite:///{place}" if isinstance(place, Path) else place
    return SqlModelNotificationRepository.open(url, observer=observer)


def email(name: str = "notif-1", due_at: datetime = NOON) -> Notification:
    message = Email(EmailAddress(ADDRESS), SUBJECT, BODY)
    return Notification.queue(NotificationId(name), message, NOON, due_at)


def sized(name: str, size: int, now: datetime = NOON) -> Notification:
    """An e-mail with so many characters of text, due at once."""
    message = Email(EmailAddress(ADDRESS), SUBJECT, "x" * size)
    return Notification.queue(NotificationId(name), message, now)


def sms(name: str = "notif-sms-1", due_at: datetime = NOON) -> Notification:
    return Notification.queue(
        NotificationId(name), Sms(PhoneNumber("+15550100123"), BODY), NOON, due_at
    )


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as any other program would see it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def on_every(event: str, listener: Callable[..., Any]) -> Iterator[None]:
    """Listen to what happens to all connections that are opened in the block."""
    sa.event.listen(Engine, event, listener)
    try:
        yield
    finally:
        sa.event.remove(Engine, event, listener)
