"""The observer that writes what happens to the log."""

from __future__ import annotations

from typing import Final

from pinguin_cli.logs import describe, record
from pinguin_core import (
    Cancelled,
    Failed,
    Message,
    Notification,
    PhoneNumber,
    PinguinError,
    Queued,
    Sending,
    Sent,
    State,
)
from pinguin_core.masking import mask_address, mask_number

_EVENTS: Final[dict[type[State], tuple[str, str]]] = {
    Queued: ("INFO", "notification.queued"),
    Sending: ("DEBUG", "notification.sending"),
    Sent: ("INFO", "notification.sent"),
    Failed: ("ERROR", "notification.failed"),
    Cancelled: ("INFO", "notification.cancelled"),
}
_RETRY: Final = ("WARNING", "notification.retrying")


class LogObserver:
    """Writes a record for each step of a notification and for each trouble."""

    def on_change(self, notification: Notification) -> None:
        """Log a step: of which notification, to whom in masked form, and where it stands."""
        state = notification.state
        is_retry = isinstance(state, Queued) and state.last_error
        level, event = _RETRY if is_retry else _EVENTS[type(state)]
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


def _masked_recipient(message: Message) -> str:
    to = message.to
    return mask_number(str(to)) if isinstance(to, PhoneNumber) else mask_address(str(to))
