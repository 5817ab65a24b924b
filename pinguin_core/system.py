"""The ports to the machine itself, its clock and its randomness; and two plain observers."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import Observer
from pinguin_core.values import NotificationId

_LONGEST_SLEEP: Final = 0.5  # seconds; how late we notice that the wall clock was set forward
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE32_PAIRS: Final = [a + b for a in _CROCKFORD for b in _CROCKFORD]


class SystemClock:
    """The machine's wall clock, in UTC."""

    def now(self) -> datetime:
        """Return the time, to the microsecond."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Sleep until the wall clock has reached the moment, also if it is set meanwhile."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 (time has no event)
            await asyncio.sleep(min(left, _LONGEST_SLEEP))


class TimeSortedIds:
    """Ids that sort by the time they were made at and cannot be guessed.

    `notif-`, then 28 characters of Crockford's base 32 (https://www.crockford.com/base32.html): 60
    bits of microseconds since 1970, and 80 random bits.
    """

    def next_id(self, now: datetime) -> NotificationId:
        """Return a new id for this moment."""
        number = ((now - _EPOCH) // _MICROSECOND) << 80 | secrets.randbits(80)
        pairs = [_BASE32_PAIRS[number >> shift & 1023] for shift in range(130, -1, -10)]
        return NotificationId("notif-" + "".join(pairs))


class NullObserver:
    """Ignores what it is told."""

    def on_change(self, notification: Notification) -> None:
        """Do nothing."""

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        """Do nothing."""

    def on_trouble(self, where: str, error: Exception) -> None:
        """Do nothing."""


class GuardedObserver:
    """Tells another observer; what that one raises goes to the event loop's exception handler.

    An observer's bug must neither stop a delivery nor refuse a notification that is stored.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def on_change(self, notification: Notification) -> None:
        """Pass on a step that is durable."""
        try:
            self._observer.on_change(notification)
        except Exception as bug:  # noqa: BLE001 (whatever it is, the step was taken)
            report_bug(bug)

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        """Pass on that a provider is down, or up again."""
        try:
            self._observer.on_provider(channel, is_up=is_up, reason=reason)
        except Exception as bug:  # noqa: BLE001 (whatever it is, the provider is as it is)
            report_bug(bug)

    def on_trouble(self, where: str, error: Exception) -> None:
        """Pass on an error that was survived."""
        try:
            self._observer.on_trouble(where, error)
        except Exception as bug:  # noqa: BLE001 (whatever it is, the error was survived)
            report_bug(bug)


def report_bug(bug: Exception) -> None:
    """Tell the event loop of the bug of somebody whom we told something."""
    context = {"message": "a Pinguin observer raised", "exception": bug}
    asyncio.get_running_loop().call_exception_handler(context)
