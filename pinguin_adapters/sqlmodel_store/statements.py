"""The SQL that every kind of database understands, and the shape of what each must write itself.

What is written goes many rows to a statement, not a statement to each row: a statement costs a
round trip to a server; and SQLite's driver lets go of Python's global lock at each step of a
statement, which a busy event loop may then keep for milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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

ONE: Final = sa.select(TABLE).where(TABLE.c.id == sa.bindparam("id"))
"""The notification with an `id`."""

DUE: Final = (
    sa.select(TABLE)
    .where(_IS_DUE)
    .order_by(TABLE.c.wake_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
"""At most `limit` notifications of a `channel` that are due `now`, earliest first.

They are locked, and those that others have locked are left out; SQLite, of which a transaction has
the only lock anyway, is not asked for either.
"""

DUE_IDS: Final = DUE.with_only_columns(TABLE.c.id)
"""The ids of `DUE`."""

NEXT_WAKE: Final = sa.select(TABLE.c.wake_at).where(_WAITING).order_by(TABLE.c.wake_at).limit(1)
"""The earliest `wake_at` of a `channel`."""

SET_ASIDE: Final = sa.update(TABLE).where(TABLE.c.id == sa.bindparam("aside")).values(wake_at=None)
"""Make sure that nobody claims the notification with the id `aside`."""

_MOST_TEXT: Final = 1 << 20  # characters; one row may have more

Values: TypeAlias = tuple[Any, ...]
Run: TypeAlias = Callable[[Connection, Sequence[Values]], int]


@dataclass(frozen=True, eq=False)
class Bulk:
    """A statement that writes any number of rows.

    Args:
        run: writes rows and returns how many were written: fewer if some were refused.
        columns: the columns that the statement takes, in its order, each with what turns a value
            into what the driver is given, if anything must; the first is the id.
        turn: its place in a transaction that runs several.
    """

    run: Run
    columns: Sequence[tuple[str, Callable[[Any], Any] | None]]
    turn: int

    def values(self, row: dict[str, Any]) -> Values:
        """Pick from a row what the statement takes."""
        return tuple([turn(row[name]) if turn else row[name] for name, turn in self.columns])


class Statements:
    """The statements that write, for one kind of database.

    Args:
        dialect: says how values are stored.
        insert: adds rows of `COLUMNS`; refuses those whose id is taken.
        overwrite: compares and sets, with rows of `CHANGING` and `BEFORE`; refuses rows whose
            stored version is not the latter.
    """

    def __init__(self, dialect: Dialect, *, insert: Run, overwrite: Run) -> None:
        self.insert = Bulk(insert, _turning(COLUMNS, dialect), 1)
        self.overwrite = Bulk(overwrite, [*_turning(CHANGING, dialect), (BEFORE, None)], 2)


def _turning(
    names: Sequence[str], dialect: Dialect
) -> list[tuple[str, Callable[[Any], Any] | None]]:
    types = ((name, TABLE.c[name].type.dialect_impl(dialect)) for name in names)
    return [(name, kind.bind_processor(dialect)) for name, kind in types]


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
