"""Idempotency keys, the history of attempts, and who has claimed what."""

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store.columns import Key, Name, Words
from pinguin_adapters.sqlmodel_store.migrations.steps import add_column, create_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, which are empty in rows that are there, and the index of the keys."""
    table = "pinguin_notification"
    add_column(table, sa.Column("idempotency_key", Key(), nullable=True))
    add_column(table, sa.Column("history", Words(), nullable=True))
    add_column(table, sa.Column("claimed_by", Name(), nullable=True))
    create_index(
        "pinguin_notification_key",
        table,
        ["idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
