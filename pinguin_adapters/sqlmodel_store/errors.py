"""Where what the database raises becomes what Pinguin raises.

Each kind of database says in its own module what its errors mean; see `explain_errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError

from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable


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


class Undone(StoreUnavailable):
    """The database gave a transaction up, or its connection was lost.

    Unless that happened while it was being committed, nothing of it remains, and all of it can be
    done again.
    """


class Doubtful(StoreUnavailable):
    """The connection was lost while a transaction was being committed: perhaps it was."""

    def __init__(self, loss: Undone) -> None:
        super().__init__(f"{loss} while it was storing, and may have stored")


class Locked(StoreUnavailable):
    """Somebody else has locked for long what was to be written; nothing else is wrong."""

    def __init__(self) -> None:
        super().__init__("the database is locked by another process")


def unstorable() -> InvalidValue:
    """Make the error for what no retry will make storable."""
    return InvalidValue("notification", "holds text or numbers that the database cannot keep")


def explain_errors(
    engine: Engine, explain: Callable[[ExceptionContext], PinguinError | None]
) -> None:
    """Have an engine raise what `explain` makes of a driver's error, if it makes something."""

    def handle(context: ExceptionContext) -> PinguinError | None:
        if isinstance(context.sqlalchemy_exception, DBAPIError):
            return explain(context)
        return None

    sa.event.listen(engine, "handle_error", handle, retval=True)


def is_trouble(error: BaseException) -> bool:
    """Tell whether the database itself failed, and not only what it was asked to do."""
    if isinstance(error, Locked):
        return False
    return isinstance(error, StoreUnavailable | StoreFull | DBAPIError)


@contextmanager
def translating() -> Iterator[None]:
    """Raise the domain's error for what is raised in the block."""
    try:
        yield
    except Exception as error:
        if (domain := translated(error)) is error:
            raise
        raise domain from None


def translated(error: Exception) -> Exception:
    """Return the domain's error anew, without the driver's behind it.

    The driver's may quote what was to be stored. An error of another origin is returned as it is.
    """
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return unstorable()
    if isinstance(error, InvalidValue):
        return InvalidValue(error.field, error.problem)
    if isinstance(error, StoreFull):
        return StoreFull(*error.args)
    if isinstance(error, Locked):
        return Locked()
    if isinstance(error, DBAPIError):
        return StoreUnavailable("the database lacks what it needs")
    return StoreUnavailable(*error.args) if isinstance(error, StoreUnavailable) else error
