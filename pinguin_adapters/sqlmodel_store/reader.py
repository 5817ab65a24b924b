"""What the reading thread does: each question on its own, answered from what is committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.errors import (
    UnreadableNotification,
    is_undecodable,
    translated,
)
from pinguin_adapters.sqlmodel_store.rows import from_row
from pinguin_adapters.sqlmodel_store.statements import NEXT_WAKE, ONE
from pinguin_adapters.sqlmodel_store.worker import Request
from pinguin_core.errors import NotificationNotFound
from pinguin_core.message import Channel
from pinguin_core.notification import Notification

Question: TypeAlias = Callable[[Connection], object]


def answer(connection: Connection, requests: Sequence[Request[Question]]) -> None:
    """Answer each question by itself."""
    for request in requests:
        try:
            request.outcome = request.task(connection)
        except Exception as error:  # noqa: BLE001 (whoever asked is told)
            request.outcome = translated(error)


@dataclass(frozen=True, slots=True)
class One:
    """The question which notification has an id."""

    id: str

    def __call__(self, connection: Connection) -> Notification:
        """Find it.

        Raises:
            NotificationNotFound: if there is none.
            UnreadableNotification: if what is stored is none.
        """
        try:
            row = connection.execute(ONE, {"id": self.id}).one_or_none()
        except Exception as error:
            if is_undecodable(error):
                raise UnreadableNotification(self.id, "it holds text that is not UTF-8") from None
            if isinstance(error, OverflowError):
                raise UnreadableNotification(self.id, "it holds a time out of range") from error
            raise
        if row is None:
            raise NotificationNotFound(self.id)
        return from_row(row)


@dataclass(frozen=True, slots=True)
class NextWake:
    """The question when something of a channel is due."""

    channel: Channel

    def __call__(self, connection: Connection) -> datetime | None:
        """Find the earliest moment."""
        return connection.execute(NEXT_WAKE, {"channel": self.channel.value}).scalar()
