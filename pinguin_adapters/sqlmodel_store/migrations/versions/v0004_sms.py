"""The index of the SMS that have come to an end: limits count those of a day."""

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store.migrations.steps import create_index

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the index."""
    create_index(
        "pinguin_notification_sms",
        "pinguin_notification",
        ["channel", "ended_at"],
        sqlite_where=sa.text("channel = 'sms' AND ended_at IS NOT NULL"),
        postgresql_where=sa.text("channel = 'sms' AND ended_at IS NOT NULL"),
    )
