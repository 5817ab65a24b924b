"""The observer that writes what happens to the log."""

from __future__ import annotations

from typing import Final

from pinguin_cli.logs import describe, record, severity
from pinguin_core import (
    Cancelled,
    Failed,
    Message,
    Notification,
    NotificationId,
    PhoneNumber,
    PinguinError,
    Queued,
    Sending,
    Sent,
    State,
)
from pinguin_core.masking import mask_address, mask_number

_EVENTS: Final[dict[type[State], tuple[str, str]]] = {
    Sending: ("DEBUG", "notification.sending"),
    Sent: ("INFO", "notification.sent"),
    Failed: ("ERROR", "notification.failed"),
    Cancelled: ("INFO", "notification.cancelled"),
}
_QUEUED: Final = ("DEBUG", "notification.queued")  # its outcome is logged in a moment
_SCHEDULED: Final = ("INFO", "notification.scheduled")
_RETRY: Final = ("WARNING", "notification.retrying")


class LogObserver:
    """Writes a record for each step of a notification and for each trouble.

    Args:
        level: what is below it is dropped here already, before it costs anything.
    """

    def __init__(self, level: str = "DEBUG") -> None:
        self._heard = {
            name: severity(name) >= severity(level)
            for name in ("DEBUG", "INFO", "WARNING", "ERROR")
        }

    def on_change(self, notification: Notification) -> None:
        """Log a step: of which notification, to whom in masked form, and where it stands."""
        state = notification.state
        level, event = _event(notification)
        if not self._heard[level]:
            return
        record(
            level,
            event,
            id=str(notification.id),
            channel=notification.channel.value,
            to=_masked_recipient(notification.message),
            state=type(state).__name__,
            attempts=notification.attempts,
            provider_message_id=state.provider_message_id if isinstance(state, Sent) else None,
            last_error=notification.last_error or None,
            next_attempt=state.due_at.isoformat() if isinstance(state, Queued) else None,
        )

    def on_trouble(self, where: str, error: Exception) -> None:
        """Log an error that was survived; one that we do not raise ourselves is a bug."""
        level = "WARNING" if isinstance(error, PinguinError) else "ERROR"
        record(level, "trouble", where=where, **describe(error))


def log_conversation(notification_id: NotificationId, line: str) -> None:
    """Log what a relay said while it was handed a notification."""
    record("DEBUG", "smtp", id=str(notification_id), said=line)


def _event(notification: Notification) -> tuple[str, str]:
    state = notification.state
    if not isinstance(state, Queued):
        return _EVENTS[type(state)]
    if state.last_error:
        return _RETRY
    return _SCHEDULED if state.due_at > notification.updated_at else _QUEUED


def _masked_recipient(message: Message) -> str:
    to = message.to
    return mask_number(str(to)) if isinstance(to, PhoneNumber) else mask_address(str(to))
