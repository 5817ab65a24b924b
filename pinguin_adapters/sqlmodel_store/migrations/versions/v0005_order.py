"""The index that dispatchers look into has the id too: it says who is next of one moment."""

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store.migrations.steps import create_index, drop_index

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the index, and only then remove the one that it replaces."""
    table = "pinguin_notification"
    create_index(
        "pinguin_notification_due",
        table,
        ["channel", "wake_at", "id"],
        sqlite_where=sa.text("wake_at IS NOT NULL"),
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
    drop_index("pinguin_notification_wake", table)
