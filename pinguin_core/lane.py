"""One channel's deliveries: claim what is due, as much as can be started, and see it through."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pinguin_core.attempt import BACKSTOP, STORE_PAUSE, Courier, Hold, uncancelled
from pinguin_core.flow import Flow
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import Clock, NotificationRepository, Observer
from pinguin_core.values import NotificationId

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_LAST_GRACE: Final = 1.0  # seconds; how long cancelled attempts may take to clean up


class Lane:
    """Delivers the notifications of one channel, as many at a time as its flow allows.

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
        flow: Flow,
        lease: timedelta,
        poll_interval: timedelta,
    ) -> None:
        self._channel = channel
        self._courier = courier
        self._repository = repository
        self._clock = clock
        self._observer = observer
        self._flow = flow
        self._lease = lease
        self._poll_interval = poll_interval
        self._run: asyncio.Task[None] | None = None
        self._attempts: dict[asyncio.Task[None], Hold] = {}
        self._holds: dict[NotificationId, Hold] = {}
        self._claims = asyncio.Lock()
        self._next = self._poll_at = _AT_ONCE
        self._stirred = asyncio.Event()
        self._is_full = self._stopping = False

    def start(self) -> None:
        """Begin to deliver."""
        self._next = self._poll_at = _AT_ONCE
        self._claims = asyncio.Lock()
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
        """Cancel what is under way; what came of it is stored, if the store is quick."""
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
        now = self._clock.now()
        free = self._flow.places(len(self._attempts), now)
        if not free:
            self._is_full = True
            await self._pause(self._flow.next_place(len(self._attempts), now) or _NEVER)
            self._is_full = False
        elif self._next <= now:
            await self._claim(free, now)
        elif self._poll_at <= now:
            await self._ask()
        else:
            await self._pause(min(self._next, self._poll_at))

    async def _claim(self, limit: int, now: datetime) -> None:
        self._next = _NEVER  # what is queued from here on lowers it again
        try:
            async with self._claims:
                claimed = await self._repository.claim_due(self._channel, now, self._lease, limit)
                for notification in claimed:
                    self._begin(notification)
                self._flow.begin(len(claimed), now)
        except BaseException:
            self._next = _AT_ONCE
            raise
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
        held = self._holds.get(notification.id)
        if held is not None and held.renew(notification):
            return
        self._observer.on_change(notification)
        if notification.wake_at is not None:
            hold = self._holds[notification.id] = Hold(notification, self._claims)
            attempt = asyncio.create_task(self._attempt(hold, notification.wake_at))
            self._attempts[attempt] = hold
            attempt.add_done_callback(self._end)

    async def _attempt(self, hold: Hold, lease_until: datetime) -> None:
        after = await self._courier.attempt(hold, lease_until)
        self._release(hold)
        if after is not None and after.wake_at is not None:
            self.wake(after.wake_at)

    def _release(self, hold: Hold) -> None:
        if self._holds.get(hold.notification.id) is hold:
            del self._holds[hold.notification.id]

    def _end(self, attempt: asyncio.Task[None]) -> None:
        if self._is_full:
            self._stirred.set()
        self._release(self._attempts.pop(attempt))  # also if it never got to begin
        if not attempt.cancelled() and isinstance(error := attempt.exception(), Exception):
            self._observer.on_trouble(f"delivering {self._channel.value}", error)
