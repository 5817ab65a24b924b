"""The dispatcher: due → claimed → sent | queued again | failed, a lane for each channel."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from pinguin_core.attempt import MARGIN, Courier
from pinguin_core.delivery import Delivery
from pinguin_core.errors import InvalidValue
from pinguin_core.flow import Flow
from pinguin_core.lane import Lane
from pinguin_core.message import Channel, Email, Sms
from pinguin_core.notification import Notification
from pinguin_core.ports import (
    Clock,
    NotificationRepository,
    Observer,
    Sender,
)
from pinguin_core.retry import ExponentialBackoff, RetryPolicy
from pinguin_core.sms_quota import SmsQuota
from pinguin_core.system import GuardedObserver, NullObserver, SystemClock

_DAY: Final = timedelta(days=1)


class Dispatcher:
    """Delivers what is due, from entering its `async with` block to leaving it.

    Each channel has a lane of its own, so that a slow e-mail relay never holds up SMS. A channel
    without a sender is ignored. On leaving, it claims nothing more, and gives attempts under way
    `drain_timeout` to end. It may be entered again after that.

    Args:
        repository: where notifications are kept.
        email: delivers e-mail.
        sms: delivers SMS.
        policy: decides about retries; `ExponentialBackoff()` if absent.
        concurrency: the maximum of simultaneous deliveries in a lane; 1 or more. If a sender can
            make fewer, the rest wait, which counts towards their attempts' time. A lane sends less
            at a time to a busy provider, and more again when that goes well.
        email_rate: how many e-mails are sent per second at most; unlimited if absent.
        sms_rate: the same for SMS.
        attempt_timeout: when an attempt is given up, whatever the sender does; must exceed the
            sender's own timeout, which knows better how far it got.
        poll_interval: how often the store is asked for work from other processes; half a second by
            default, so that such work starts within a second.
        probe_interval: the time between attempts while the provider is considered down; what is
            due is held meanwhile, without using up its retries.
        retry_ambiguous: retry what the provider may have accepted before the connection was lost,
            at the risk of a duplicate; if not, it fails, at the risk that it was never delivered.
            In both cases a sender that is a `Reconciler` first looks whether it was delivered.
        sms_quota: how many SMS may be sent per day; unlimited if absent.
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
        poll_interval: timedelta = timedelta(milliseconds=500),
        drain_timeout: timedelta = timedelta(seconds=8),
        probe_interval: timedelta = timedelta(seconds=30),
        email_rate: float | None = None,
        sms_rate: float | None = None,
        retry_ambiguous: bool = True,
        sms_quota: SmsQuota | None = None,
    ) -> None:
        if concurrency < 1:
            raise InvalidValue("concurrency", "must be 1 or more")
        for field, duration in (
            ("attempt_timeout", attempt_timeout),
            ("poll_interval", poll_interval),
            ("probe_interval", probe_interval),
        ):
            if not timedelta(0) < duration <= _DAY:
                raise InvalidValue(field, "must be more than zero and at most a day")
        if not timedelta(0) <= drain_timeout <= _DAY:
            raise InvalidValue("drain_timeout", "must be zero or more and at most a day")
        for field, rate in (("email_rate", email_rate), ("sms_rate", sms_rate)):
            if rate is not None and not 0 < rate < math.inf:
                raise InvalidValue(field, "must be more than zero")
        self._drain_timeout = drain_timeout
        deliveries: dict[Channel, Delivery[Any]] = {}
        if email is not None:
            deliveries[Channel.EMAIL] = Delivery(Email, email, repository)
        if sms is not None:
            deliveries[Channel.SMS] = Delivery(Sms, sms, repository)
        clock = clock or SystemClock()
        observer = GuardedObserver(observer or NullObserver())
        rates = {Channel.EMAIL: email_rate, Channel.SMS: sms_rate}
        flows = {
            channel: Flow(concurrency, probe_interval, rates[channel]) for channel in deliveries
        }
        waits = {} if sms_quota is None else {Channel.SMS: sms_quota.wait_of}
        self._lanes = {
            channel: Lane(
                channel,
                Courier(
                    channel,
                    delivery,
                    repository,
                    flow=flows[channel],
                    clock=clock,
                    policy=policy or ExponentialBackoff(),
                    observer=observer,
                    timeout=attempt_timeout,
                    retry_ambiguous=retry_ambiguous,
                    wait_of=waits.get(channel),
                ),
                repository,
                clock=clock,
                observer=observer,
                flow=flows[channel],
                lease=attempt_timeout + MARGIN,
                poll_interval=poll_interval,
            )
            for channel, delivery in deliveries.items()
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
            raise RuntimeError("this dispatcher is already running")
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
