"""One attempt: hand a claimed notification to the sender, and store what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pinguin_core.delivery import Delivery
from pinguin_core.errors import (
    DeliveryError,
    HeldForProvider,
    StaleNotification,
    TransientDeliveryError,
)
from pinguin_core.flow import Flow, is_answer, is_not_taken, is_trouble
from pinguin_core.message import Channel
from pinguin_core.notification import Notification, Receipt
from pinguin_core.ports import Clock, NotificationRepository, Observer
from pinguin_core.retry import ExponentialBackoff, RetryPolicy
from pinguin_core.sms_quota import Wait

MARGIN: Final = timedelta(seconds=15)
"""By how much a lease outlasts the longest attempt: time to look at limits before it, to look once
more whether it delivered, and to store the outcome."""

STORE_PAUSE: Final = timedelta(seconds=1)
"""How long a store is left alone that has just failed."""

BACKSTOP: Final = timedelta(seconds=1)
"""By how much real time may outlast a wait on the wall clock, which may be set back meanwhile."""

PUT_OFF: Final = timedelta(minutes=1)
"""How long a notification waits when nobody can tell whether a limit is reached."""

_ADMISSION: Final = timedelta(seconds=5)
"""How long it may take to tell that, out of `MARGIN`."""

_STORING: Final = timedelta(seconds=3)
"""How much of a lease is left for storing the outcome when looking ends."""

WaitOf = Callable[[Notification, datetime], Awaitable[Wait | None]]
Finish = Callable[[Notification], Notification]
T = TypeVar("T")
_NO_RETRY: Final = ExponentialBackoff(max_retries=0)


class Hold:
    """A notification that a worker holds, from its claim until the outcome is stored.

    Should the lease run out meanwhile, because the wall clock was set forward or the store could
    not be written to, the worker may claim again what it holds, even after another worker had it.
    That is no reason to send it again.

    Args:
        claimed: the notification as it was claimed.
        claims: held while the worker claims.

    Attributes:
        notification: what the outcome is to follow upon.
        begun: the sender was given the message.
        failed: the attempt is over, and another one has to be made.
    """

    def __init__(self, claimed: Notification, claims: asyncio.Lock) -> None:
        self.notification = claimed
        self.begun = self.failed = False
        self._claimed = claimed
        self._claims = claims

    def renew(self, claimed: Notification) -> bool:
        """Go on under a new lease, unless there is nothing to go on with: then answer False.

        A claim that took nothing but our own lease, which had run out, changes nothing else.
        After anything else, such as another worker's attempt, the outcome follows upon that, but
        not the outcome of a failed attempt: it may be that very one which was stored.
        """
        ours = (self._claimed.version + 2, self._claimed.crashes + 1)
        took_ours = (claimed.version, claimed.crashes) == ours
        if claimed.is_final or (self.failed and not took_ours):
            return False
        self.notification = self.notification.renew(claimed) if took_ours else claimed
        self._claimed = claimed
        return True

    async def is_renewed_since(self, held: Notification) -> bool:
        """Tell whether the lease is a newer one, or the worker is about to get one."""
        async with self._claims:
            return self.notification is not held


class Courier:
    """Makes attempts for one channel.

    Args:
        delivery: hands a notification's message to the provider.
        flow: is told how the provider fares.
        timeout: after how long an attempt is given up, whatever the sender does.
        retry_ambiguous: try again what may have been delivered; if not, it fails.
        wait_of: tells what may not be sent yet.
    """

    def __init__(
        self,
        channel: Channel,
        delivery: Delivery[Any],
        repository: NotificationRepository,
        *,
        flow: Flow,
        clock: Clock,
        policy: RetryPolicy,
        observer: Observer,
        timeout: timedelta,
        retry_ambiguous: bool,
        wait_of: WaitOf | None = None,
    ) -> None:
        self._channel = channel
        self._delivery = delivery
        self._flow = flow
        self._retry_ambiguous = retry_ambiguous
        self._wait_of = wait_of
        self._repository = repository
        self._clock = clock
        self._policy = policy
        self._observer = observer
        self._timeout = timeout

    async def attempt(self, hold: Hold, lease_until: datetime) -> Notification | None:
        """Deliver a claimed notification and store the outcome.

        Nothing is sent if the lease may end before the attempt does, because claiming took so
        long: it is given back, unless another worker has it by then. If the attempt is cancelled,
        that is stored.

        Returns:
            The notification as it was stored, or None if it is left to whoever claims it next.
        """
        id = hold.notification.id  # noqa: A001 (the domain's word)
        if lease_until - self._clock.now() < self._timeout:
            late = TimeoutError("claiming took too long: nothing was sent")
            self._observer.on_trouble(f"starting {id}", late)
            return await self._leave(hold)
        try:
            finish = await self._outcome(hold)
        except asyncio.CancelledError:
            await self._leave(hold)
            raise
        return await self._store(hold, finish)

    async def _outcome(self, hold: Hold) -> Finish:
        claimed = hold.notification
        if (wait := await self._wait(claimed)) is not None:
            return self._put_off(hold, wait)
        began = self._clock.now()
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                receipt = await uncancelled(self._delivery.find(claimed))
                if receipt is None:
                    hold.begun = True
                    receipt = await uncancelled(self._delivery.send(claimed))
        except DeliveryError as error:
            self._learn(claimed, error, began)
            return await self._failure(hold, error)
        except TimeoutError:
            what = "the attempt" if hold.begun else "looking up an earlier attempt"
            late = TransientDeliveryError(
                f"{what} took too long", ambiguous=hold.begun, of_provider=True
            )
            self._learn(claimed, late, began)
            return await self._failure(hold, late)
        except Exception as error:  # noqa: BLE001 (a sender's bug must not stop the lane)
            self._observer.on_trouble(f"sending {claimed.id}", error)
            broken = TransientDeliveryError("internal error in the sender", ambiguous=hold.begun)
            return await self._failure(hold, broken)  # it says nothing of the provider
        self._well()
        now = self._clock.now()
        return lambda held: held.succeed(receipt, now)

    async def _wait(self, claimed: Notification) -> Wait | None:
        if self._wait_of is None:
            return None
        now = self._clock.now()
        try:
            async with asyncio.timeout(_ADMISSION.total_seconds()):
                return await uncancelled(self._wait_of(claimed, now))
        except Exception as error:  # noqa: BLE001 (whatever it is, a limit may be reached)
            self._observer.on_trouble(f"looking at limits for {claimed.id}", error)
            return Wait(now + PUT_OFF, "the limits cannot be checked now")

    def _put_off(self, hold: Hold, wait: Wait) -> Finish:
        hold.failed = True
        now = self._clock.now()
        self._flow.give_back(hold.notification.updated_at, now)
        return lambda held: held.hold(wait.reason, now, wait.until)

    async def _failure(self, hold: Hold, error: DeliveryError) -> Finish:
        finish = self._judge(error)
        hold.failed = True
        if isinstance(error, TransientDeliveryError) and error.ambiguous:
            receipt = await self._found_after_all(hold.notification, finish)
            if receipt is not None:
                now = self._clock.now()
                return lambda held: held.succeed(receipt, now)
        return finish

    def _judge(self, error: DeliveryError) -> Finish:
        """Hold it while the provider is down; but what may have been delivered uses up a retry.

        Or a provider that takes messages, and never says so, would get one copy after another.
        """
        now = self._clock.now()
        until, policy = self._flow.held_until(now), self._policy
        if isinstance(error, HeldForProvider):
            until = now + (error.retry_after or timedelta(0))
            return lambda held: held.postpone(error, now, until)
        if is_not_taken(error) and until is not None:
            return lambda held: held.postpone(error, now, until)
        in_doubt = isinstance(error, TransientDeliveryError) and error.ambiguous
        if in_doubt and not self._retry_ambiguous:
            policy = _NO_RETRY
        return lambda held: held.fail(error, now, policy)

    def _learn(self, claimed: Notification, error: DeliveryError, began: datetime) -> None:
        """Tell the flow how the provider fared."""
        now = self._clock.now()
        if is_answer(error):
            self._well()
        elif not is_trouble(error):
            self._flow.give_back(claimed.updated_at, now)
        elif self._flow.ill(claimed.id, error, began, now):
            self._observer.on_provider(self._channel, is_up=False, reason=error.reason)

    async def _found_after_all(self, claimed: Notification, finish: Finish) -> Receipt | None:
        """Look whether an attempt in doubt delivered, before the notification would fail for it.

        If nobody can tell, it fails: it is marked, so that nothing untrue is said.
        """
        failed, now = finish(claimed), self._clock.now()
        if not failed.is_final:
            return None
        left = (claimed.wake_at or now) - now - _STORING
        try:
            async with asyncio.timeout(left.total_seconds()):
                return await uncancelled(self._delivery.find(failed))
        except (DeliveryError, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001 (a sender's bug must not stop the lane)
            self._observer.on_trouble(f"looking for {claimed.id} at its provider", error)
            return None

    def _well(self) -> None:
        if self._flow.well():
            self._observer.on_provider(self._channel, is_up=True, reason="")

    async def _leave(self, hold: Hold) -> Notification | None:
        """Give back what a stop does not wait for; if that fails, its lease has to run out."""
        held, now = hold.notification, self._clock.now()
        after = held.interrupt(now) if hold.begun else held.give_back(now)
        try:
            await uncancelled(self._repository.save(after))
        except Exception as error:  # noqa: BLE001 (a stop goes on)
            self._observer.on_trouble(f"storing the outcome of {held.id}", error)
            return None
        self._observer.on_change(after)
        return after

    async def _store(self, hold: Hold, finish: Finish) -> Notification | None:
        """Store an outcome, as often as it takes, unless another worker has the notification.

        To give up would be to send it again, once the store can be written to again.
        """
        tried: list[Notification] = []
        while True:
            held = hold.notification
            after = finish(held)
            try:
                await uncancelled(self._repository.save(after))
            except StaleNotification as error:
                if not await hold.is_renewed_since(held):
                    stored = await self._stored_one_of(tried)
                    if stored is None:
                        self._observer.on_trouble(f"storing the outcome of {held.id}", error)
                    else:
                        self._observer.on_change(stored)
                    return stored
            except Exception as error:  # noqa: BLE001 (whatever it is, the message is sent)
                tried.append(after)
                self._observer.on_trouble(f"storing the outcome of {held.id}", error)
                await self._rest()
            else:
                self._observer.on_change(after)
                return after

    async def _stored_one_of(self, tried: Sequence[Notification]) -> Notification | None:
        """Return which of the outcomes the store has although it answered with an error, if any."""
        if not tried:
            return None
        try:
            stored = await uncancelled(self._repository.get(tried[0].id))
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing can be told)
            self._observer.on_trouble(f"reading what became of {tried[0].id}", error)
            return None
        return stored if stored in tried else None

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
