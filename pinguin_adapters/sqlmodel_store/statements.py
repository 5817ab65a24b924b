"""The SQL that the store speaks.

What is written goes many rows to a statement, not a statement to each row: the driver lets go of
Python's global lock at each step of a statement, and a busy event loop may then keep it for
milliseconds. That is paid once for up to 64 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from pinguin_adapters.sqlmodel_store.rows import FIXED, TABLE

_MOST_ROWS: Final = 64
_KEY: Final = "id"
_COLUMNS: Final = tuple(column.name for column in TABLE.columns)
_CHANGING: Final = tuple(name for name in _COLUMNS if name not in FIXED)

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
)
"""At most `limit` notifications of a `channel` that are due `now`, earliest first."""

DUE_IDS: Final = DUE.with_only_columns(TABLE.c.id)
"""The ids of `DUE`."""

NEXT_WAKE: Final = sa.select(TABLE.c.wake_at).where(_WAITING).order_by(TABLE.c.wake_at).limit(1)
"""The earliest `wake_at` of a `channel`."""

SET_ASIDE: Final = sa.update(TABLE).where(TABLE.c.id == sa.bindparam("aside")).values(wake_at=None)
"""Make sure that nobody claims the notification with the id `aside`."""


@dataclass(frozen=True, eq=False)
class Bulk:
    """A statement that writes any number of rows.

    Args:
        text: makes the SQL for a number of rows.
        columns: the columns that the statement takes, in its order, each with what turns a value
            into what the driver is given, if anything must.
    """

    text: Callable[[int], str]
    columns: Sequence[tuple[str, Callable[[Any], Any] | None]]

    def values(self, row: dict[str, Any]) -> tuple[Any, ...]:
        """Pick from a row what the statement takes."""
        return tuple([turn(row[name]) if turn else row[name] for name, turn in self.columns])

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write the rows and return how many were written: fewer if some were refused."""
        return sum(
            connection.exec_driver_sql(
                self.text(len(part)), tuple(chain.from_iterable(part))
            ).rowcount
            for part in _parts(rows)
        )


class Statements:
    """The statements that write, for one kind of database.

    Attributes:
        insert: adds rows; refuses those whose id is taken.
        overwrite: compares and sets; refuses rows whose stored version is not what the row has as
            `BEFORE`.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.insert = Bulk(lru_cache(_insert), _turning(_COLUMNS, dialect))
        self.overwrite = Bulk(
            lru_cache(_overwrite), [*_turning(_CHANGING, dialect), (BEFORE, None)]
        )


def _turning(
    names: Sequence[str], dialect: Dialect
) -> list[tuple[str, Callable[[Any], Any] | None]]:
    types = ((name, TABLE.c[name].type.dialect_impl(dialect)) for name in names)
    return [(name, kind.bind_processor(dialect)) for name, kind in types]


def _insert(count: int) -> str:
    values = _values(_COLUMNS, count)
    return (
        f"INSERT INTO {TABLE.name} ({', '.join(_COLUMNS)}) VALUES {values}"  # noqa: S608 (only names of columns)
        f" ON CONFLICT ({_KEY}) DO NOTHING"
    )


def _overwrite(count: int) -> str:
    names = [*_CHANGING, BEFORE]
    new = {name: f"new.column{place}" for place, name in enumerate(names, 1)}
    sets = ", ".join(f"{name} = {new[name]}" for name in _CHANGING if name != _KEY)
    return (
        f"UPDATE {TABLE.name} SET {sets} FROM (VALUES {_values(names, count)}) AS new"  # noqa: S608 (only names of columns)
        f" WHERE {TABLE.name}.id = {new['id']} AND {TABLE.name}.version = {new[BEFORE]}"
    )


def _values(names: Sequence[str], count: int) -> str:
    return ", ".join([f"({', '.join('?' * len(names))})"] * count)


def _parts(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Cut into powers of two, so that few different statements are ever prepared."""
    start = 0
    while left := len(rows) - start:
        size = min(_MOST_ROWS, 1 << left.bit_length() - 1)
        yield rows[start : start + size]
        start += size
