"""The table of notifications, and the index that dispatchers look into."""

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store.columns import Instant, Name, Words
from pinguin_adapters.sqlmodel_store.migrations.steps import create_index, create_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table and its index."""
    create_table(
        "pinguin_notification",
        sa.Column("id", Name(), nullable=False),
        sa.Column("channel", Name(), nullable=False),
        sa.Column("recipient", Words(), nullable=False),
        sa.Column("subject", Words(), nullable=False),
        sa.Column("body", Words(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("scheduled_at", Instant(), nullable=True),
        sa.Column("state", Name(), nullable=False),
        sa.Column("wake_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("provider_message_id", Words(), nullable=False),
        sa.Column("last_error", Words(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("possible_duplicate", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )
    create_index(
        "pinguin_notification_wake",
        "pinguin_notification",
        ["channel", "wake_at"],
        sqlite_where=sa.text("wake_at IS NOT NULL"),
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
