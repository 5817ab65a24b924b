"""Notifications in an SQL database, through SQLModel and SQLAlchemy."""

from pinguin_adapters.sqlmodel_store.errors import UnreadableNotification
from pinguin_adapters.sqlmodel_store.outbox import enqueue, enqueue_async
from pinguin_adapters.sqlmodel_store.repository import SqlModelNotificationRepository
from pinguin_adapters.sqlmodel_store.tables import metadata

__all__ = [
    "SqlModelNotificationRepository",
    "UnreadableNotification",
    "enqueue",
    "enqueue_async",
    "metadata",
]
