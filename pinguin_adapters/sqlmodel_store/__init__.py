"""Notifications in an SQL database, through SQLModel and SQLAlchemy: SQLite for now."""

from pinguin_adapters.sqlmodel_store.errors import UnreadableNotification
from pinguin_adapters.sqlmodel_store.repository import SqlModelNotificationRepository

__all__ = ["SqlModelNotificationRepository", "UnreadableNotification"]
