"""The observer that writes what happens to the log, and one that tells several."""

from __future__ import annotations

from typing import Final

from pinguin_cli.logs import describe, record, severity
from pinguin_core import (
    Cancelled,
    Channel,
    Failed,
    Message,
    Notification,
    NotificationId,
    Observer,
    PhoneNumber,
    PinguinError,
    Queued,
    Sending,
    Sent,
    State,
)
from pinguin_core.masking import mask_address, mask_number
from pinguin_core.notification import HELD
from pinguin_core.system import GuardedObserver

_EVENTS: Final[dict[type[State], tuple[str, str]]] = {
    Sending: ("DEBUG", "notification.sending"),
    Sent: ("INFO", "notification.sent"),
    Failed: ("ERROR", "notification.failed"),
    Cancelled: ("INFO", "notification.cancelled"),
}
_QUEUED: Final = ("DEBUG", "notification.queued")  # its outcome is logged in a moment
_SCHEDULED: Final = ("INFO", "notification.scheduled")
_HELD: Final = ("WARNING", "notification.held")
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

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        """Log that a provider is considered down, or is up again."""
        if is_up:
            record("INFO", "provider.up", channel=channel.value)
        else:
            record("ERROR", "provider.down", channel=channel.value, reason=reason)

    def on_trouble(self, where: str, error: Exception) -> None:
        """Log an error that was survived; one that we do not raise ourselves is a bug."""
        level = "WARNING" if isinstance(error, PinguinError) else "ERROR"
        record(level, "trouble", where=where, **describe(error))


class Observers:
    """Tells several observers, in their order; no one's bug keeps the others from being told."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = [GuardedObserver(each) for each in observers]

    def on_change(self, notification: Notification) -> None:
        """Pass on a step that is durable."""
        for each in self._observers:
            each.on_change(notification)

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        """Pass on that a provider is down, or up again."""
        for each in self._observers:
            each.on_provider(channel, is_up=is_up, reason=reason)

    def on_trouble(self, where: str, error: Exception) -> None:
        """Pass on an error that was survived."""
        for each in self._observers:
            each.on_trouble(where, error)


def log_relay(route: str, *, is_up: bool, reason: str) -> None:
    """Log that one of two relays is considered down, or is up again."""
    if is_up:
        record("INFO", "relay.up", relay=route)
    else:
        record("ERROR", "relay.down", relay=route, reason=reason)


def log_conversation(relay: str, notification_id: NotificationId, line: str) -> None:
    """Log what a relay, named by its host, said while it was handed a notification."""
    record("DEBUG", "smtp", id=str(notification_id), relay=relay, said=line)


def _event(notification: Notification) -> tuple[str, str]:
    state = notification.state
    if not isinstance(state, Queued):
        return _EVENTS[type(state)]
    if state.last_error:
        return _HELD if state.last_error.startswith(HELD) else _RETRY
    return _SCHEDULED if state.due_at > notification.updated_at else _QUEUED


def _masked_recipient(message: Message) -> str:
    to = message.to
    return mask_number(str(to)) if isinstance(to, PhoneNumber) else mask_address(str(to))
