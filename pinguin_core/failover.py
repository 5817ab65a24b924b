"""A second sender, which takes over while the first one's provider is down."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Generic, NamedTuple, Protocol

from pinguin_core.errors import (
    DeliveryError,
    HeldForProvider,
    InvalidValue,
    PermanentDeliveryError,
    ProviderDown,
    TransientDeliveryError,
)
from pinguin_core.flow import Breaker, Limit, is_answer, is_not_taken, is_trouble
from pinguin_core.history import Attempt, Outcome
from pinguin_core.notification import Receipt
from pinguin_core.ports import Clock, IsTaken, MessageT_contra, Reconciler, Sender
from pinguin_core.system import SystemClock, report_bug
from pinguin_core.values import NotificationId

PRIMARY: Final = "primary"
FALLBACK: Final = "fallback"

_MOST: Final = 1_000
"""Of how many attempts at once a provider is taken to be no limit: the dispatcher has its own."""


class OnRoute(Protocol):
    """Is told what becomes of a route, `primary` or `fallback`."""

    def __call__(self, route: str, *, is_up: bool, reason: str) -> None:
        """Learn that it is considered down from now on, and why; or that it is up again."""
        ...


def _tell_nobody(route: str, *, is_up: bool, reason: str) -> None:
    """Do nothing."""


class FailoverSender(Generic[MessageT_contra]):
    """Delivers through one sender, and through another where that one's provider fails.

    If the first provider itself is the problem, the message goes to the fallback in the same
    attempt. While the first is considered down, it is only probed now and then; so is the fallback.
    One that is back gets one message at first, then more and more. What the fallback does not
    accept either is held by the dispatcher.

    The fallback is never given what was refused because of the message, such as an unknown
    recipient; nor, in the same attempt, what the first may have accepted. Before a later attempt
    that is looked up at whichever of the two may have it, if that one is a `Reconciler`.

    What the fallback refuses because of what it cannot accept, or does not accept from us, waits
    for the first one.

    What the fallback's provider said begins with `fallback:`, in a receipt's reply as in an error's
    reason; what the first one's provider said in the same attempt is there too.

    Args:
        primary: what is tried first; opened and closed by whoever made it, as is the other.
        fallback: must give a message the same id as the first does, so that copies can be
            recognised.
        probe_interval: the time between attempts at a provider that is considered down; more than
            zero. The rule by which that happens is the dispatcher's own.
        on_route: called when one of them is considered down, and when it is up again.

    Raises:
        InvalidValue: if `probe_interval` is not more than zero.
    """

    def __init__(
        self,
        primary: Sender[MessageT_contra],
        fallback: Sender[MessageT_contra],
        *,
        clock: Clock | None = None,
        probe_interval: timedelta = timedelta(seconds=30),
        on_route: OnRoute = _tell_nobody,
    ) -> None:
        if probe_interval <= timedelta(0):
            raise InvalidValue("probe_interval", "must be more than zero")
        self._clock = clock or SystemClock()
        self._ways: Sequence[tuple[_Route, Sender[MessageT_contra]]] = (
            (_Route(PRIMARY, Breaker(probe_interval), on_route), primary),
            (_Route(FALLBACK, Breaker(probe_interval), on_route), fallback),
        )

    async def send(
        self, message: MessageT_contra, *, id: NotificationId, date: datetime
    ) -> Receipt:
        """Deliver one message by the first route that can. See `Sender.send`."""
        failures: list[_Failure] = []
        for route, sender in self._ways:
            if not self._has_place(route) or not route.begin(began := self._clock.now()):
                continue
            try:
                receipt = await route.counted(sender.send(message, id=id, date=date))
            except DeliveryError as error:
                route.fail(id, error, began, self._clock.now())
                failures.append(_Failure(route, error))
                if not is_not_taken(error):
                    break
            else:
                route.answer()
                before = (f" ({each.route.name}: {each.error.reason})" for each in failures)
                return replace(receipt, reply=route.named(receipt.reply) + "".join(before))
        raise self._error(failures)

    async def find_sent(
        self,
        message: MessageT_contra,
        *,
        id: NotificationId,
        doubts: Sequence[Attempt],
        is_taken: IsTaken,
    ) -> Receipt | None:
        """Look a message up wherever it may have been taken. See `Reconciler.find_sent`.

        It is said to be found once only if all that may have it could tell.
        """
        found: list[Receipt] = []
        silent: list[TransientDeliveryError] = []
        may_be_elsewhere = False
        for route, sender in self._ways:
            left_open = [doubt for doubt in doubts if route.may_have_taken_in(doubt)]
            if not left_open:
                continue
            if not isinstance(sender, Reconciler):
                may_be_elsewhere = True
                continue
            try:
                receipt = await sender.find_sent(
                    message, id=id, doubts=left_open, is_taken=is_taken
                )
            except TransientDeliveryError as error:
                no_other_way = self._is_only_way(route)
                silent.append(_of_pair(error, route.named(error.reason), no_other_way=no_other_way))
            else:
                if receipt is not None:
                    found.append(replace(receipt, reply=route.named(receipt.reply)))
        if found:
            may_be_elsewhere = may_be_elsewhere or len(found) > 1 or bool(silent)
            return replace(found[0], found=found[0].found and not may_be_elsewhere)
        if silent:
            raise silent[0]
        return None

    def _has_place(self, route: _Route) -> bool:
        """Tell whether a route may be tried: one that has just come back is eased in.

        What is too much for it goes the other way, if that is open.
        """
        return not route.is_full or self._is_only_way(route)

    def _is_only_way(self, route: _Route) -> bool:
        return all(each.is_down for each, _ in self._ways if each is not route)

    def _error(self, failures: Sequence[_Failure]) -> DeliveryError:
        """Return what the failures of one attempt amount to.

        With a fallback nothing may fail that would be held without one, nor be held that would be
        tried again; so the first one's state decides.
        """
        reason = "; ".join(map(str, failures)) or "both providers are considered down"
        if failures and _is_for_another(failures[-1]):
            return self._left_to_primary(reason, failures[-1].error.code)
        not_taken = all(is_not_taken(each.error) for each in failures)
        if not_taken and self._ways[0][0].is_down:
            code = failures[-1].error.code if failures else ""
            return ProviderDown(reason, code=code, retry_after=self._next_try())
        route, error = failures[0 if not_taken else -1]
        if not isinstance(error, TransientDeliveryError):
            asked = not isinstance(error, PermanentDeliveryError) or error.asked
            return PermanentDeliveryError(reason, code=error.code, asked=asked)
        return _of_pair(error, reason, no_other_way=not_taken or self._is_only_way(route))

    def _left_to_primary(self, reason: str, code: str) -> DeliveryError:
        """Return what comes of a message that the fallback cannot take: other messages go on."""
        first, now = self._ways[0][0], self._clock.now()
        if first.is_down:
            until = max(timedelta(0), first.due_at(now) - now)
            return HeldForProvider(reason, code=code, retry_after=until)
        return TransientDeliveryError(reason, code=code)

    def _next_try(self) -> timedelta:
        now = self._clock.now()
        return max(timedelta(0), min(route.due_at(now) for route, _ in self._ways) - now)


class _Route:
    """How the provider behind one of the senders fares."""

    def __init__(self, name: str, breaker: Breaker, on_route: OnRoute) -> None:
        self.name = name
        self._breaker = breaker
        self._on_route = on_route
        self._limit = Limit(_MOST)
        self._under_way = 0
        self.is_down = False

    @property
    def is_full(self) -> bool:
        """As many attempts are under way as the provider is to get now."""
        return self._under_way >= self._limit.places

    async def counted(self, attempt: Awaitable[Receipt]) -> Receipt:
        """Make an attempt, which is under way meanwhile."""
        self._under_way += 1
        try:
            return await attempt
        finally:
            self._under_way -= 1

    def begin(self, now: datetime) -> bool:
        """Begin an attempt, unless the provider is down and no probe is due: then answer False."""
        if self.due_at(now) > now:
            return False
        self._breaker.begin(now)
        return True

    def due_at(self, now: datetime) -> datetime:
        """Return when the next attempt may begin."""
        return self._breaker.probe_at(now) or now

    def answer(self) -> None:
        """Learn that the provider did its part."""
        if self._breaker.close():
            self._limit.restart()
            self._turn(is_down=False, reason="")
        else:
            self._limit.grow()

    def fail(
        self, id: NotificationId, error: DeliveryError, began: datetime, now: datetime
    ) -> None:
        """Learn how an attempt failed: for the message's sake, or for the provider's own."""
        if is_answer(error):
            self.answer()
        elif not is_trouble(error):
            self._breaker.give_back(began, now)
        elif self._breaker.fail(id, error, now):
            self._turn(is_down=True, reason=error.reason)

    def may_have_taken_in(self, doubt: Attempt) -> bool:
        """Tell whether an attempt in doubt may have left its message here.

        The first one cannot have it where the fallback was asked and spoke last: then it had failed
        to take it. All else, such as a worker's death, says nothing.
        """
        is_fallbacks = doubt.outcome is Outcome.UNCLEAR and f"; {FALLBACK}: " in f"; {doubt.text}"
        return self.name == FALLBACK or not is_fallbacks

    def named(self, said: str) -> str:
        """Say whose words these are, if they are the fallback's."""
        return said if self.name == PRIMARY else ": ".join(filter(None, (self.name, said)))

    def _turn(self, *, is_down: bool, reason: str) -> None:
        self.is_down = is_down
        try:
            self._on_route(self.name, is_up=not is_down, reason=reason)
        except Exception as bug:  # noqa: BLE001 (whatever it is, the message is where it is)
            report_bug(bug)


class _Failure(NamedTuple):
    route: _Route
    error: DeliveryError

    def __str__(self) -> str:
        return self.route.named(self.error.reason)


def _is_for_another(failure: _Failure) -> bool:
    """Tell whether the fallback refused what the first provider may well take."""
    route, error = failure
    is_refused = isinstance(error, PermanentDeliveryError) and error.elsewhere
    return is_refused and route.name == FALLBACK


def _of_pair(
    error: TransientDeliveryError, reason: str, *, no_other_way: bool
) -> TransientDeliveryError:
    """Return an error of one route as the pair's.

    It is the provider's trouble only if the next message has no other way: otherwise that would be
    held.
    """
    return TransientDeliveryError(
        reason,
        code=error.code,
        retry_after=error.retry_after,
        ambiguous=error.ambiguous,
        of_provider=error.of_provider and no_other_way,
    )
