"""The types of the columns, which are not the same in every kind of database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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
        if value is None or dialect.name not in _WHOLE:
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the moment, in UTC."""
        if value is None or dialect.name not in _WHOLE:
            return value
        return _EPOCH + timedelta(microseconds=value)


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

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return mysql.VARCHAR(64, **_EXACT) if dialect.name in _MYSQL else sa.Text()
