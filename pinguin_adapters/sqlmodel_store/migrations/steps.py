"""What migrations are made of: each step does what is left to do, and nothing twice.

MariaDB and MySQL commit each step by itself. Whoever was killed between two of them has left the
first ones, of which the version says nothing yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *columns: sa.schema.SchemaItem, **options: Any) -> None:
    """Make a table, unless there is one of that name."""
    if not _there().has_table(name):
        op.create_table(name, *columns, **options)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless the table has one of that name."""
    if column.name not in {each["name"] for each in _there().get_columns(table)}:
        op.add_column(table, column)


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Make an index, unless the table has one of that name."""
    if name not in {each["name"] for each in _there().get_indexes(table)}:
        op.create_index(name, table, columns, **options)


def drop_index(name: str, table: str) -> None:
    """Remove an index, if the table has one of that name."""
    if name in {each["name"] for each in _there().get_indexes(table)}:
        op.drop_index(name, table)


def _there() -> sa.Inspector:
    return sa.inspect(op.get_bind())
