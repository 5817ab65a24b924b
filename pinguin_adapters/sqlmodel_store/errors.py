"""The one place where what the database raises becomes what Pinguin raises."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable

_PRIMARY: Final = 0xFF  # the low byte of an extended result code (https://sqlite.org/rescode.html)
_TROUBLE: Final[dict[int, tuple[type[PinguinError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "the database is locked by another process"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "the file cannot be opened"),
    sqlite3.SQLITE_CORRUPT: (StoreUnavailable, "the database is damaged"),
    sqlite3.SQLITE_FULL: (StoreFull, "the database or its disk is full"),
    sqlite3.SQLITE_NOTADB: (StoreUnavailable, "the file is not an SQLite database"),
    sqlite3.SQLITE_READONLY: (StoreUnavailable, "the database may only be read"),
}
_UNSTORABLE: Final = "holds text or numbers that the database cannot keep"


class UnreadableNotification(PinguinError):
    """What is stored of a notification is not a notification: somebody else wrote it, or damage.

    Attributes:
        notification_id: its id.
        problem: what is wrong, without the stored text itself.
    """

    def __init__(self, notification_id: str, problem: str) -> None:
        super().__init__(f"the stored notification {notification_id} cannot be read: {problem}")
        self.notification_id = notification_id
        self.problem = problem


def is_trouble(error: BaseException) -> bool:
    """Tell whether the database itself failed, and not only what it was asked to do."""
    return isinstance(error, OperationalError) or type(error) is DatabaseError


def is_undecodable(error: BaseException) -> bool:
    """Tell whether a stored text is not UTF-8; the driver then quotes it, so drop its error."""
    return isinstance(error, OperationalError) and _code(error) is None


@contextmanager
def translating() -> Iterator[None]:
    """Raise the domain's error for what the database raises in the block."""
    try:
        yield
    except Exception as error:
        if (domain := _domain_error(error)) is error:
            raise
        raise domain from error


def translated(error: Exception) -> Exception:
    """Return the domain's error for the database's, with the latter as its cause.

    The text says nothing of what was to be stored. An error of another origin is returned as it is.
    """
    domain = _domain_error(error)
    if domain is not error:
        domain.__cause__ = error
    return domain


def _domain_error(error: Exception) -> Exception:
    if is_trouble(error):
        kind, text = _TROUBLE.get(_code(error) or 0, (StoreUnavailable, _unnamed(error)))
        return kind(text)
    if isinstance(error, DBAPIError | UnicodeEncodeError | OverflowError):
        return InvalidValue("notification", _UNSTORABLE)
    return error


def _code(error: BaseException) -> int | None:
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def _unnamed(error: Exception) -> str:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", "no code")
    return f"the database failed ({name})"
