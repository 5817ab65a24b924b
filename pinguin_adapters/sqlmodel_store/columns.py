"""The types of the columns, which are not the same in every kind of database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


_MYSQL: Final = frozenset({"mysql", "mariadb"})
_EXACT: Final = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_WHOLE: Final[Mapping[str, type[sa.Integer]]] = {
    "sqlite": sa.Integer,
    "mysql": sa.BigInteger,
    "mariadb": sa.BigInteger,
}


class Instant(TypeDecorator[datetime]):
    """A moment: `timestamptz` on PostgreSQL, elsewhere whole microseconds since 1970."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        whole = _WHOLE.get(dialect.name)
        return sa.DateTime(timezone=True) if whole is None else whole()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return what is stored."""
        return _counted(value) if dialect.name in _WHOLE else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the moment, in UTC."""
        return _told(value) if dialect.name in _WHOLE else value

    # Asked once for a statement instead of once for a value, which would take a tenth of a claim.

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return what does the former."""
        return _counted if dialect.name in _WHOLE else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:  # noqa: ARG002 (as it is called)
        """Return what does the latter."""
        return _told if dialect.name in _WHOLE else None


def _counted(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def _told(count: int | None) -> datetime | None:
    return None if count is None else EPOCH + count * MICROSECOND


class Words(TypeDecorator[str]):
    """Text of any length, compared character by character."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return mysql.LONGTEXT(**_EXACT) if dialect.name in _MYSQL else sa.Text()


class Name(TypeDecorator[str]):
    """A text short enough for an index: an id, or one of a few words."""

    impl = sa.Text
    cache_ok = True
    longest: ClassVar[int] = 64

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return mysql.VARCHAR(self.longest, **_EXACT) if dialect.name in _MYSQL else sa.Text()


class Key(Name):
    """A longer text for an index: an idempotency key."""

    cache_ok = True
    longest = 255
