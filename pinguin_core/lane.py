"""One channel's deliveries: claim what is due, hand it to the sender, store the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pinguin_core.errors import (
    DeliveryError,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
    TransientDeliveryError,
)
from pinguin_core.message import Channel
from pinguin_core.notification import Notification, Receipt
from pinguin_core.ports import Clock, NotificationRepository, Observer
from pinguin_core.retry import RetryPolicy

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_STORE_PAUSE: Final = timedelta(seconds=1)
"""How long a lane leaves a store alone that has just failed it."""

Deliver = Callable[[Notification], Awaitable[Receipt]]


class Lane:
    """Delivers the notifications of one channel, at most `concurrency` at a time.

    It claims only what it can start now. It knows the earliest moment at which something may be
    due (`_next`): what `wake` tells it and what the store told it last. Between those moments it
    only asks the store again each `poll_interval`, for work that other processes stored.
    """

    def __init__(
        self,
        channel: Channel,
        deliver: Deliver,
        repository: NotificationRepository,
        *,
        clock: Clock,
        policy: RetryPolicy,
        observer: Observer,
        concurrency: int,
        lease: timedelta,
        attempt_timeout: timedelta,
        poll_interval: timedelta,
    ) -> None:
        self._channel = channel
        self._deliver = deliver
        self._repository = repository
        self._clock = clock
        self._policy = policy
        self._observer = observer
        self._concurrency = concurrency
        self._lease = lease
        self._attempt_timeout = attempt_timeout
        self._poll_interval = poll_interval
        self._attempts: set[asyncio.Task[None]] = set()
        self._next = _AT_ONCE
        self._stirred = asyncio.Event()
        self._stopping = False

    def wake(self, moment: datetime) -> None:
        """Learn that something is due at a moment."""
        if moment < self._next:
            self._next = moment
            self._stirred.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends soon after, the attempts go on."""
        self._stopping = True
        self._stirred.set()

    async def run(self) -> None:
        """Deliver until stopped. No error of the store ends it."""
        while not self._stopping:
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 (a lane that died would deliver nothing ever again)
                self._observer.on_trouble(f"claiming due {self._channel.value}", error)
                await self._pause(self._clock.now() + _STORE_PAUSE)

    async def drain(self) -> None:
        """Wait for the attempts that are under way."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    async def abandon(self) -> None:
        """Cancel the attempts that are under way; their leases will run out."""
        for attempt in self._attempts:
            attempt.cancel()
        await self.drain()

    async def _turn(self) -> None:
        free = self._concurrency - len(self._attempts)
        if not free:
            await self._pause(_NEVER)
        elif self._next > self._clock.now():
            await self._idle()
        else:
            await self._claim(free)

    async def _idle(self) -> None:
        await self._pause(min(self._next, self._clock.now() + self._poll_interval))
        if self._next > self._clock.now() and not self._stopping:
            await self._ask_for_next()

    async def _claim(self, limit: int) -> None:
        self._next = _NEVER  # what is queued from here on lowers it again
        try:
            claimed = await self._repository.claim_due(
                self._channel, self._clock.now(), self._lease, limit
            )
        except BaseException:
            self._next = _AT_ONCE
            raise
        for notification in claimed:
            self._observer.on_change(notification)
            if not notification.is_final:
                self._begin(notification)
        if len(claimed) == limit:
            self._next = _AT_ONCE
        else:
            await self._ask_for_next()

    async def _ask_for_next(self) -> None:
        self.wake(await self._repository.next_wake(self._channel) or _NEVER)

    async def _pause(self, until: datetime) -> None:
        """Wait until a moment, or until something stirs: new work, a free place, a stop."""
        if self._stopping:
            return
        self._stirred.clear()
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._stirred.wait())]
        if until != _NEVER:
            waits.append(asyncio.create_task(self._clock.sleep_until(until)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _begin(self, notification: Notification) -> None:
        attempt = asyncio.create_task(self._attempt(notification))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._end)

    def _end(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._stirred.set()
        if not attempt.cancelled() and (error := attempt.exception()):
            if not isinstance(error, Exception):
                raise error
            self._observer.on_trouble(f"delivering {self._channel.value}", error)

    async def _attempt(self, notification: Notification) -> None:
        after = await self._outcome(notification)
        if await self._save(after):
            self._observer.on_change(after)
            if after.wake_at is not None:
                self.wake(after.wake_at)

    async def _outcome(self, notification: Notification) -> Notification:
        try:
            async with asyncio.timeout(self._attempt_timeout.total_seconds()):
                receipt = await self._deliver(notification)
        except DeliveryError as error:
            return notification.fail(error, self._clock.now(), self._policy)
        except TimeoutError:
            late = TransientDeliveryError("the attempt took too long", ambiguous=True)
            return notification.fail(late, self._clock.now(), self._policy)
        except Exception as error:  # noqa: BLE001 (a sender's bug must not stop the lane)
            self._observer.on_trouble(f"sending {notification.id}", error)
            broken = TransientDeliveryError("internal error in the sender", ambiguous=True)
            return notification.fail(broken, self._clock.now(), self._policy)
        return notification.succeed(receipt, self._clock.now())

    async def _save(self, after: Notification) -> bool:
        """Store an outcome, as often as it takes while the lease lasts; then leave it to that."""
        give_up = self._clock.now() + self._lease - self._attempt_timeout
        while True:
            try:
                await self._repository.save(after)
            except (StoreUnavailable, StoreFull) as error:
                self._observer.on_trouble(f"storing the outcome of {after.id}", error)
                if self._clock.now() >= give_up:
                    return False
                await self._clock.sleep_until(self._clock.now() + _STORE_PAUSE)
            except StaleNotification as error:
                self._observer.on_trouble(f"storing the outcome of {after.id}", error)
                return False
            else:
                return True
