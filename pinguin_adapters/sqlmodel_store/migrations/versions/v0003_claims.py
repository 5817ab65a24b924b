"""The index of who has claims: others look whether one of them is dead."""

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store.migrations.steps import create_index

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the index."""
    create_index(
        "pinguin_notification_claim",
        "pinguin_notification",
        ["claimed_by"],
        sqlite_where=sa.text("claimed_by IS NOT NULL"),
        postgresql_where=sa.text("claimed_by IS NOT NULL"),
    )
