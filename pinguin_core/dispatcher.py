"""The dispatcher: due → claimed → sent | queued again | failed, a lane for each channel."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from pinguin_core.attempt import Courier, Deliver
from pinguin_core.errors import InvalidValue
from pinguin_core.lane import Lane
from pinguin_core.message import Channel, Email, Sms
from pinguin_core.notification import Notification, Receipt
from pinguin_core.ports import Clock, MessageT_contra, NotificationRepository, Observer, Sender
from pinguin_core.retry import ExponentialBackoff, RetryPolicy
from pinguin_core.system import GuardedObserver, NullObserver, SystemClock

_DAY: Final = timedelta(days=1)
_MARGIN: Final = timedelta(seconds=15)
"""By how much a lease outlasts the longest attempt: time to store the outcome."""


class Dispatcher:
    """Delivers what is due, from entering its `async with` block to leaving it.

    Each channel has a lane of its own, so that a slow e-mail relay never holds up SMS. A channel
    without a sender is left alone. On leaving, nothing more is claimed, and the attempts under way
    have `drain_timeout` to end. It may be entered again after that.

    Args:
        repository: where notifications are kept.
        email: delivers e-mail.
        sms: delivers SMS.
        policy: decides about retries; `ExponentialBackoff()` if absent.
        concurrency: how many deliveries a lane has under way at the most; 1 or more. A sender that
            can make fewer at a time lets the rest wait, at the cost of their attempts' time.
        attempt_timeout: after how long an attempt is given up, whatever the sender does; more
            than the sender's own limit, which knows better how far it got.
        poll_interval: how often the store is asked for what other processes put there.
        drain_timeout: how long attempts may take to end when the dispatcher stops.

    Raises:
        InvalidValue: for a number or duration out of range.
    """

    def __init__(
        self,
        repository: NotificationRepository,
        *,
        email: Sender[Email] | None = None,
        sms: Sender[Sms] | None = None,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        observer: Observer | None = None,
        concurrency: int = 16,
        attempt_timeout: timedelta = timedelta(seconds=45),
        poll_interval: timedelta = timedelta(seconds=1),
        drain_timeout: timedelta = timedelta(seconds=8),
    ) -> None:
        if concurrency < 1:
            raise InvalidValue("concurrency", "must be 1 or more")
        for field, duration in (
            ("attempt_timeout", attempt_timeout),
            ("poll_interval", poll_interval),
        ):
            if not timedelta(0) < duration <= _DAY:
                raise InvalidValue(field, "must be more than zero and at most a day")
        self._drain_timeout = drain_timeout
        deliveries: dict[Channel, Deliver] = {}
        if email is not None:
            deliveries[Channel.EMAIL] = _delivery(Email, email)
        if sms is not None:
            deliveries[Channel.SMS] = _delivery(Sms, sms)
        clock = clock or SystemClock()
        observer = GuardedObserver(observer or NullObserver())
        self._lanes = {
            channel: Lane(
                channel,
                Courier(
                    deliver,
                    repository,
                    clock=clock,
                    policy=policy or ExponentialBackoff(),
                    observer=observer,
                    timeout=attempt_timeout,
                ),
                repository,
                clock=clock,
                observer=observer,
                concurrency=concurrency,
                lease=attempt_timeout + _MARGIN,
                poll_interval=poll_interval,
            )
            for channel, deliver in deliveries.items()
        }
        self._running = False

    def wake(self, notification: Notification) -> None:
        """Learn that a notification was stored, so that it is delivered without being polled for.

        Call it on the event loop that the dispatcher runs on.
        """
        if notification.wake_at is not None:
            self.wake_at(notification.channel, notification.wake_at)

    def wake_at(self, channel: Channel, moment: datetime) -> None:
        """Learn when something of a channel is due that another process stored; see `wake`.

        A store that can tell is given this method to call; otherwise the store is polled.
        """
        if lane := self._lanes.get(channel):
            lane.wake(moment)

    async def __aenter__(self) -> Self:
        if self._running:
            raise RuntimeError("this dispatcher is running already")
        self._running = True
        for lane in self._lanes.values():
            lane.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lanes = self._lanes.values()
        for lane in lanes:
            lane.stop()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_timeout.total_seconds()):
                    await asyncio.gather(*(lane.drain() for lane in lanes))
        finally:
            await asyncio.gather(*(lane.abandon() for lane in lanes))
            self._running = False


def _delivery(kind: type[MessageT_contra], sender: Sender[MessageT_contra]) -> Deliver:
    async def deliver(notification: Notification) -> Receipt:
        message = notification.message
        if not isinstance(message, kind):
            raise TypeError(f"the store gave a {type(message).__name__} to the wrong lane")
        return await sender.send(message, id=notification.id, date=notification.date)

    return deliver
