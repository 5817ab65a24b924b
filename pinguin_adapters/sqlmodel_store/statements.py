"""The SQL that every kind of database understands, and the shape of what each must write itself.

What is written goes many rows to a statement, not a statement to each row: a statement costs a
round trip to a server; and SQLite's driver lets go of Python's global lock at each step of a
statement, which a busy event loop may then keep for milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from pinguin_adapters.sqlmodel_store.rows import FIXED, TABLE

KEY: Final = "id"
COLUMNS: Final = tuple(column.name for column in TABLE.columns)
CHANGING: Final = tuple(name for name in COLUMNS if name not in FIXED)

BEFORE: Final = "version_before"
"""What a row is given besides its columns when it is to overwrite another."""

_WAITING: Final = sa.and_(TABLE.c.channel == sa.bindparam("channel"), TABLE.c.wake_at.is_not(None))
_IS_DUE: Final = sa.and_(
    TABLE.c.channel == sa.bindparam("channel"), TABLE.c.wake_at <= sa.bindparam("now")
)
_IS_LEASED: Final = TABLE.c.wake_at > sa.bindparam("now")

ONE: Final = sa.select(TABLE).where(TABLE.c.id == sa.bindparam("id"))
"""The notification with an `id`."""

KEYED: Final = sa.select(TABLE.c.id).where(TABLE.c.idempotency_key == sa.bindparam("key"))
"""The id of the notification with an idempotency `key`."""

DUE: Final = (
    sa.select(TABLE)
    .where(_IS_DUE)
    .order_by(TABLE.c.wake_at, TABLE.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
"""At most `limit` notifications of a `channel` that are due `now`, earliest first, and those of one
moment by their ids.

They are locked, and those that others have locked are left out; SQLite, of which a transaction has
the only lock anyway, is not asked for either.
"""

DUE_IDS: Final = DUE.with_only_columns(TABLE.c.id)
"""The ids of `DUE`."""

NEXT_WAKE: Final = sa.select(TABLE.c.wake_at).where(_WAITING).order_by(TABLE.c.wake_at).limit(1)
"""The earliest `wake_at` of a `channel`."""

_IS_SMS: Final = TABLE.c.channel == sa.literal_column("'sms'")  # as the partial index has it
_COUNT: Final = sa.select(sa.func.count()).select_from(TABLE)

_IS_SINCE: Final = TABLE.c.ended_at >= sa.bindparam("since")
_IS_SENT: Final = TABLE.c.state == "sent"

SENT_SMS_AS: Final = _COUNT.where(
    _IS_SMS, _IS_SINCE, _IS_SENT, TABLE.c.provider_message_id == sa.bindparam("name")
)
"""How many SMS were sent from the moment `since` on under the provider's `name`."""

TAKEN_SMS: Final = _COUNT.where(
    _IS_SMS,
    _IS_SINCE,
    sa.or_(
        _IS_SENT,
        TABLE.c.possible_duplicate == 1,
        sa.and_(TABLE.c.state == "sending", TABLE.c.wake_at <= sa.bindparam("now")),
    ),
    TABLE.c.id != sa.bindparam("id"),
)
"""How many SMS but that with an `id` were sent from the moment `since` on, or left in doubt: also
those whose lease is over `now`.
"""

SMS_UNDER_WAY: Final = _COUNT.where(
    _IS_SMS,
    TABLE.c.wake_at > sa.bindparam("now"),
    TABLE.c.wake_at < sa.bindparam("horizon"),
    TABLE.c.state == "sending",
    sa.or_(TABLE.c.possible_duplicate == 0, ~_IS_SINCE),
    TABLE.c.id != sa.bindparam("id"),
    sa.or_(TABLE.c.wake_at != sa.bindparam("end"), TABLE.c.id < sa.bindparam("id")),
)
"""How many SMS but that with an `id` are being sent under a lease that is not over `now`, but not
those of `TAKEN_SMS`; of those whose lease ends at the very moment `end`, only what has a lower id.

Beyond the `horizon` nobody looks: a backlog that a limit holds may wait there.
"""

TO: Final = TABLE.c.recipient == sa.bindparam("to")
"""Restricts either to a recipient."""

SET_ASIDE: Final = sa.update(TABLE).where(TABLE.c.id == sa.bindparam("aside")).values(wake_at=None)
"""Make sure that nobody claims the notification with the id `aside`."""

CLAIMANTS: Final = (
    sa.select(TABLE.c.claimed_by).where(TABLE.c.claimed_by.is_not(None), _IS_LEASED).distinct()
)
"""The names of all workers that have claims whose lease is not over `now`."""

CLAIMED_IDS: Final = (
    sa.select(TABLE.c.id)
    .where(TABLE.c.claimed_by.in_(sa.bindparam("names", expanding=True)), _IS_LEASED)
    .with_for_update(skip_locked=True)
)
"""The ids of what the workers with these `names` have claimed, with a lease that is not over `now`.

It is locked, and what others have locked is left out, as in `DUE`.
"""

_MOST_TEXT: Final = 1 << 20  # characters; one row may have more

Values: TypeAlias = tuple[Any, ...]
Run: TypeAlias = Callable[[Connection, Sequence[Values]], int]


class Bulk:
    """A statement that writes any number of rows.

    Args:
        run: writes rows and returns how many were written: fewer if some were refused.
        names: what of a row the statement takes, in its order; the first is the id.
        dialect: says how values are stored.
        turn: its place in a transaction that runs several.
    """

    def __init__(self, run: Run, names: Sequence[str], dialect: Dialect, turn: int) -> None:
        self.run = run
        self.turn = turn
        self._pick = itemgetter(*names)
        self._turning = [
            (place, turning)
            for place, name in enumerate(names)
            if name in TABLE.c
            and (turning := TABLE.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        ]

    def values(self, row: dict[str, Any]) -> Values:
        """Pick from a row what the statement takes, as the driver is given it."""
        values = list(self._pick(row))
        for place, turning in self._turning:
            values[place] = turning(values[place])
        return tuple(values)


class Statements:
    """The statements that write, for one kind of database.

    Args:
        dialect: says how values are stored.
        insert: adds rows of `COLUMNS`; refuses those whose id or idempotency key is taken.
        overwrite: compares and sets, with rows of `CHANGING` and `BEFORE`; refuses rows whose
            stored version is not the latter.
    """

    def __init__(self, dialect: Dialect, *, insert: Run, overwrite: Run) -> None:
        self.insert = Bulk(insert, COLUMNS, dialect, turn=1)
        self.overwrite = Bulk(overwrite, [*CHANGING, BEFORE], dialect, turn=2)


def parts(rows: Sequence[Values], most: int | None = None) -> Iterator[Sequence[Values]]:
    """Cut into parts that a server takes as one statement, of so many rows at the most if given."""
    start = weight = 0
    for place, row in enumerate(rows):
        weight += sum([len(value) for value in row if isinstance(value, str)])
        if weight > _MOST_TEXT or place - start == most:
            if place > start:
                yield rows[start:place]
            start, weight = place, 0
    if rows:
        yield rows[start:]
