"""One channel's deliveries: claim what is due, as much as can be started, and see it through."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pinguin_core.attempt import BACKSTOP, STORE_PAUSE, Courier, uncancelled
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import Clock, NotificationRepository, Observer

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_LAST_GRACE: Final = 1.0  # seconds; how long cancelled attempts may take to clean up


class Lane:
    """Delivers the notifications of one channel, at most `concurrency` at a time.

    It claims only what it can start now. It knows the earliest moment at which something may be
    due (`_next`): what `wake` tells it and what the store told it last. Between those moments it
    only asks the store again each `poll_interval`, for work that other processes stored.
    """

    def __init__(
        self,
        channel: Channel,
        courier: Courier,
        repository: NotificationRepository,
        *,
        clock: Clock,
        observer: Observer,
        concurrency: int,
        lease: timedelta,
        poll_interval: timedelta,
    ) -> None:
        self._channel = channel
        self._courier = courier
        self._repository = repository
        self._clock = clock
        self._observer = observer
        self._concurrency = concurrency
        self._lease = lease
        self._poll_interval = poll_interval
        self._run: asyncio.Task[None] | None = None
        self._attempts: set[asyncio.Task[None]] = set()
        self._next = self._poll_at = _AT_ONCE
        self._stirred = asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver."""
        self._next = self._poll_at = _AT_ONCE
        self._stirred = asyncio.Event()
        self._stopping = False
        self._run = asyncio.create_task(self._deliver())

    def wake(self, moment: datetime) -> None:
        """Learn that something is due at a moment."""
        if moment < self._next:
            self._next = moment
            self._stirred.set()

    def stop(self) -> None:
        """Claim nothing more; what is under way goes on."""
        self._stopping = True
        self._stirred.set()

    async def drain(self) -> None:
        """Wait until all that is under way has ended."""
        while tasks := self._under_way():
            await asyncio.wait(tasks)

    async def abandon(self) -> None:
        """Cancel what is under way; the leases will run out."""
        tasks = self._under_way()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_GRACE)

    def _under_way(self) -> list[asyncio.Task[None]]:
        run = [] if self._run is None or self._run.done() else [self._run]
        return [*run, *self._attempts]

    async def _deliver(self) -> None:
        while not self._stopping:
            try:
                await uncancelled(self._turn())
            except Exception as error:  # noqa: BLE001 (a lane that died would deliver nothing ever again)
                self._observer.on_trouble(f"claiming due {self._channel.value}", error)
                await self._pause(self._clock.now() + STORE_PAUSE)

    async def _turn(self) -> None:
        free = self._concurrency - len(self._attempts)
        now = self._clock.now()
        if not free:
            await self._pause(_NEVER)
        elif self._next <= now:
            await self._claim(free, now)
        elif self._poll_at <= now:
            await self._ask()
        else:
            await self._pause(min(self._next, self._poll_at))

    async def _claim(self, limit: int, now: datetime) -> None:
        self._next = _NEVER  # what is queued from here on lowers it again
        try:
            claimed = await self._repository.claim_due(self._channel, now, self._lease, limit)
        except BaseException:
            self._next = _AT_ONCE
            raise
        for notification in claimed:
            self._begin(notification)
        if len(claimed) == limit:
            self._next = _AT_ONCE
        elif self._next > self._clock.now():
            # What the store calls due but did not give must not keep us asking for it.
            await self._ask(beyond=_AT_ONCE if claimed else now)

    async def _ask(self, beyond: datetime = _AT_ONCE) -> None:
        moment = await self._repository.next_wake(self._channel) or _NEVER
        self._poll_at = self._clock.now() + self._poll_interval
        if moment > beyond:
            self.wake(moment)

    async def _pause(self, until: datetime) -> None:
        """Wait until a moment, or until something stirs: new work, a free place, a stop."""
        if self._stopping:
            return
        self._stirred.clear()
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._stirred.wait())]
        timeout = None
        if until != _NEVER:
            waits.append(asyncio.create_task(self._clock.sleep_until(until)))
            timeout = (until - self._clock.now() + BACKSTOP).total_seconds()
        try:
            ended, _ = await asyncio.wait(
                waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not ended:
            self._poll_at = _AT_ONCE  # the wall clock was set back

    def _begin(self, notification: Notification) -> None:
        self._observer.on_change(notification)
        if notification.wake_at is not None:
            attempt = asyncio.create_task(self._attempt(notification, notification.wake_at))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._end)

    async def _attempt(self, claimed: Notification, lease_until: datetime) -> None:
        after = await self._courier.attempt(claimed, lease_until)
        if after is not None and after.wake_at is not None:
            self.wake(after.wake_at)

    def _end(self, attempt: asyncio.Task[None]) -> None:
        if len(self._attempts) == self._concurrency:
            self._stirred.set()  # a free place; otherwise there was one already
        self._attempts.discard(attempt)
        if not attempt.cancelled() and isinstance(error := attempt.exception(), Exception):
            self._observer.on_trouble(f"delivering {self._channel.value}", error)
