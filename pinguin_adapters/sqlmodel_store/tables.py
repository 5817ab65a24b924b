"""The tables as an application sees them that keeps them in its own database."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core.errors import StoreUnavailable

_ANYWHERE: Final = DefaultDialect()
_ELSEWHERE: Final = ((sqlite.dialect(), ("sqlite",)), (mysql.dialect(), ("mysql", "mariadb")))


def require_fit(connection: Connection) -> None:
    """Look whether the table that this code reads and writes is there.

    Raises:
        StoreUnavailable: if it is not, or has other columns, or its idempotency keys may repeat.
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table(TABLE.name):
        raise StoreUnavailable(f"it has no table {TABLE.name}: {_REMEDY}")
    there = {column["name"] for column in inspector.get_columns(TABLE.name)}
    if differing := there ^ {column.name for column in TABLE.columns}:
        raise StoreUnavailable(
            f"its table {TABLE.name} does not match this version of Pinguin"
            f" (they differ in {', '.join(sorted(differing))}): {_REMEDY}"
        )
    if not _are_keys_unique(inspector):
        raise StoreUnavailable(
            f"its table {TABLE.name} has no unique index of {_UNIQUE}, so a repeated"
            f" request would be sent again: {_REMEDY}"
        )


def _are_keys_unique(inspector: sa.Inspector) -> bool:
    """Look for an index or a constraint: what one is called the other, differs by database."""
    indexes = inspector.get_indexes(TABLE.name)
    unique = [index["column_names"] for index in indexes if index["unique"]]
    constraints = inspector.get_unique_constraints(TABLE.name)
    return [_UNIQUE] in [*unique, *(each["column_names"] for each in constraints)]


_UNIQUE: Final = "idempotency_key"
_REMEDY: Final = "let the application's migrations bring it up to date, or name another database"


def _declared() -> sa.MetaData:
    declared = sa.MetaData()
    for column in TABLE.to_metadata(declared).columns:
        column.type = _plain(column.type)
    return declared


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Say by SQLAlchemy's own types what a decorated type is stored as.

    An application's migrations then need no import of ours, and last longer than our modules.
    """
    if not isinstance(kind, TypeDecorator):
        return kind
    plain = kind.load_dialect_impl(_ANYWHERE)
    for dialect, names in _ELSEWHERE:
        plain = plain.with_variant(kind.load_dialect_impl(dialect), *names)
    return plain


metadata: Final = _declared()
"""Pinguin's tables, for an application whose own migrations make them.

Give it to Alembic's autogenerate beside the application's own:
`target_metadata = [SQLModel.metadata, metadata]`.
"""
