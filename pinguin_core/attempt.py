"""One attempt: hand a claimed notification to the sender, and store what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from pinguin_core.errors import DeliveryError, StaleNotification, TransientDeliveryError
from pinguin_core.notification import Notification, Receipt
from pinguin_core.ports import Clock, NotificationRepository, Observer
from pinguin_core.retry import RetryPolicy

STORE_PAUSE: Final = timedelta(seconds=1)
"""How long a store is left alone that has just failed."""

BACKSTOP: Final = timedelta(seconds=1)
"""By how much real time may outlast a wait on the wall clock, which may be set back meanwhile."""

Deliver = Callable[[Notification], Awaitable[Receipt]]
T = TypeVar("T")


class Courier:
    """Makes attempts for one channel.

    Args:
        deliver: hands a notification's message to the provider.
        timeout: after how long an attempt is given up, whatever the sender does.
    """

    def __init__(
        self,
        deliver: Deliver,
        repository: NotificationRepository,
        *,
        clock: Clock,
        policy: RetryPolicy,
        observer: Observer,
        timeout: timedelta,
    ) -> None:
        self._deliver = deliver
        self._repository = repository
        self._clock = clock
        self._policy = policy
        self._observer = observer
        self._timeout = timeout

    async def attempt(self, claimed: Notification, lease_until: datetime) -> Notification | None:
        """Deliver a claimed notification and store the outcome.

        Nothing is sent if the lease may end before the attempt does, because claiming took so
        long: another worker may have it by then.

        Returns:
            The notification as it was stored, or None if it is left to the end of its lease.
        """
        if lease_until - self._clock.now() < self._timeout:
            late = TimeoutError("claiming took too long: nothing was sent")
            self._observer.on_trouble(f"starting {claimed.id}", late)
            return None
        after = await self._outcome(claimed)
        if not await self._store(after, lease_until):
            return None
        self._observer.on_change(after)
        return after

    async def _outcome(self, claimed: Notification) -> Notification:
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                receipt = await uncancelled(self._deliver(claimed))
        except DeliveryError as error:
            return claimed.fail(error, self._clock.now(), self._policy)
        except TimeoutError:
            late = TransientDeliveryError("the attempt took too long", ambiguous=True)
            return claimed.fail(late, self._clock.now(), self._policy)
        except Exception as error:  # noqa: BLE001 (a sender's bug must not stop the lane)
            self._observer.on_trouble(f"sending {claimed.id}", error)
            broken = TransientDeliveryError("internal error in the sender", ambiguous=True)
            return claimed.fail(broken, self._clock.now(), self._policy)
        return claimed.succeed(receipt, self._clock.now())

    async def _store(self, after: Notification, lease_until: datetime) -> bool:
        """Store an outcome, as often as it takes while the lease lasts; then leave it to that."""
        while True:
            try:
                await uncancelled(self._repository.save(after))
            except StaleNotification as error:
                self._observer.on_trouble(f"storing the outcome of {after.id}", error)
                return False
            except Exception as error:  # noqa: BLE001 (giving up early would send it again)
                self._observer.on_trouble(f"storing the outcome of {after.id}", error)
                if self._clock.now() + STORE_PAUSE >= lease_until:
                    return False
                await self._rest()
            else:
                return True

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout((STORE_PAUSE + BACKSTOP).total_seconds()):
                await self._clock.sleep_until(self._clock.now() + STORE_PAUSE)


async def uncancelled(foreign: Awaitable[T]) -> T:
    """Await something of others; raise RuntimeError if it is cancelled and this task is not.

    Such a cancellation comes from inside (a closed pool, a broken library) and would otherwise
    end this task without a trace.
    """
    try:
        return await foreign
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("cancelled from within") from error
