"""How much a lane may start: as much as its provider bears.

A provider that is busy is given less, one that is down is left alone but for a probe now and then,
and a rate that was agreed on is kept. All of this is arithmetic on moments; nothing here waits.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final, TypeGuard

from pinguin_core.errors import (
    DeliveryError,
    HeldForProvider,
    PermanentDeliveryError,
    ProviderDown,
    TransientDeliveryError,
)
from pinguin_core.values import NotificationId

_FAILURES: Final = 5
_NOTIFICATIONS: Final = 3
_ROUNDING: Final = 1e-6
_BURST: Final = timedelta(milliseconds=100)


def is_answer(error: DeliveryError) -> bool:
    """Tell whether the provider did its part: it was asked, and the error is about the message."""
    if isinstance(error, HeldForProvider):
        return False
    asked = not isinstance(error, PermanentDeliveryError) or error.asked
    return asked and not is_trouble(error)


def is_trouble(error: DeliveryError) -> TypeGuard[TransientDeliveryError]:
    """Tell whether the attempt failed for the provider's sake."""
    return isinstance(error, TransientDeliveryError) and error.of_provider


def is_not_taken(error: DeliveryError) -> TypeGuard[TransientDeliveryError]:
    """Tell whether it failed for the provider's sake, which took nothing for certain."""
    return is_trouble(error) and not error.ambiguous


class Limit:
    """How many attempts may be under way at once: one more for each success, half when busy.

    The attempts of one generation fail together, so a cut counts only once for all that began
    before it.

    Args:
        most: the highest that it becomes, and where it begins; 1 or more.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._cut_at: datetime | None = None
        self.places = most

    def grow(self) -> None:
        """Learn that an attempt went well."""
        self.places = min(self.most, self.places + 1)

    def cut(self, began: datetime, now: datetime) -> None:
        """Learn that the provider is too busy for an attempt that began at a moment."""
        if self._cut_at is None or began > self._cut_at:
            self.places = max(1, self.places // 2)
            self._cut_at = now

    def restart(self) -> None:
        """Begin with one, as after an outage: those who wait must not come all at once."""
        self.places = 1


class Pace:
    """A token bucket: so many attempts a second, with a tenth of a second's worth at once.

    Args:
        per_second: the rate; more than zero.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * _BURST.total_seconds())
        self._tokens = self._most
        self._filled_at: datetime | None = None

    def places(self, now: datetime) -> int:
        """Return how many attempts may begin now."""
        if self._filled_at is not None and now > self._filled_at:
            gained = (now - self._filled_at).total_seconds() * self._per_second
            self._tokens = min(self._most, self._tokens + gained)
        self._filled_at = now
        return int(self._tokens + _ROUNDING)

    def take(self, count: int) -> None:
        """Begin so many attempts."""
        self._tokens -= count

    def give_back(self) -> None:
        """Undo the beginning of an attempt that was not made."""
        self._tokens = min(self._most, self._tokens + 1)

    def next_place(self, now: datetime) -> datetime:
        """Return when one more may begin."""
        missing = max(0.0, 1.0 - self._tokens)
        return now + timedelta(microseconds=math.ceil(missing / self._per_second * 1_000_000))


class Breaker:
    """Stops a lane whose provider is down: it opens, and lets one attempt through now and then.

    It opens when 5 attempts in a row have failed for the provider's sake, of 3 notifications at
    least, so that one notification which upsets the provider does not stop the others; and at once
    when a sender knows that nothing can be sent, as while an operator must act first. Any answer
    of the provider's that is about the message, a success or a refusal, closes it.

    Args:
        interval: how far the probes are apart at the least; more than zero.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval
        self._wait = interval
        self._failed: list[NotificationId] = []
        self._probe_at: datetime | None = None
        self._probed_at: datetime | None = None

    def probe_at(self, now: datetime) -> datetime | None:
        """Return when the next probe may begin, if it is open."""
        if self._probe_at is not None and self._probe_at - now > self._wait:
            self._probe_at = now + self._wait  # the wall clock was set back
        return self._probe_at

    def begin(self, now: datetime) -> None:
        """Begin a probe, if it is open."""
        if self._probe_at is not None:
            self._wait_from(now, timedelta(0))
            self._probed_at = now

    def give_back(self, began: datetime, now: datetime) -> None:
        """Learn that an attempt asked nothing of the provider: if a probe, it may be made now."""
        if self._probe_at is not None and began == self._probed_at:
            self._probe_at = now

    def close(self) -> bool:
        """Learn that the provider answers; return whether that is news."""
        was_open = self._probe_at is not None
        self._failed.clear()
        self._probe_at = None
        return was_open

    def fail(self, id: NotificationId, error: TransientDeliveryError, now: datetime) -> bool:
        """Learn of an attempt that failed for the provider's sake; return whether it opens."""
        asked = error.retry_after or timedelta(0)
        if (probe_at := self.probe_at(now)) is not None:
            if probe_at < now + max(self._interval, asked):  # or it would shorten what was asked
                self._wait_from(now, asked)
            return False
        self._failed.append(id)
        few = len(self._failed) < _FAILURES or len(set(self._failed)) < _NOTIFICATIONS
        if few and not isinstance(error, ProviderDown):
            return False
        self._wait_from(now, asked)
        return True

    def _wait_from(self, now: datetime, asked: timedelta) -> None:
        self._wait = max(self._interval, asked)
        self._probe_at = now + self._wait


class Flow:
    """The three together, for one lane.

    Args:
        concurrency: how many attempts may be under way at the most; 1 or more.
        probe_interval: how far apart the attempts are while the provider is down.
        per_second: how many attempts may begin in a second; any number if absent.
    """

    def __init__(
        self, concurrency: int, probe_interval: timedelta, per_second: float | None = None
    ) -> None:
        self._limit = Limit(concurrency)
        self._breaker = Breaker(probe_interval)
        self._pace = None if per_second is None else Pace(per_second)

    def places(self, under_way: int, now: datetime) -> int:
        """Return how many attempts may begin now, while so many are under way."""
        probe_at = self._breaker.probe_at(now)
        if probe_at is not None:
            return 1 if probe_at <= now and under_way < self._limit.most else 0
        free = max(0, self._limit.places - under_way)
        return free if self._pace is None else min(free, self._pace.places(now))

    def next_place(self, under_way: int, now: datetime) -> datetime | None:
        """Return when time alone makes a place; None if an attempt must end before."""
        if (probe_at := self._breaker.probe_at(now)) is not None:
            return None if under_way >= self._limit.most else probe_at
        if self._pace is None or under_way >= self._limit.places:
            return None
        return self._pace.next_place(now)

    def begin(self, count: int, now: datetime) -> None:
        """Learn that so many attempts begin."""
        if count:
            self._breaker.begin(now)
            if self._pace is not None:
                self._pace.take(count)

    def give_back(self, began: datetime, now: datetime) -> None:
        """Learn that an attempt which began at a moment was not made after all."""
        self._breaker.give_back(began, now)
        if self._pace is not None:
            self._pace.give_back()

    def well(self) -> bool:
        """Learn that the provider did its part; return whether it had been considered down."""
        if self._breaker.close():
            self._limit.restart()
            return True
        self._limit.grow()
        return False

    def ill(
        self, id: NotificationId, error: TransientDeliveryError, began: datetime, now: datetime
    ) -> bool:
        """Learn that the provider failed; return whether it is considered down from now on."""
        self._limit.cut(began, now)
        return self._breaker.fail(id, error, now)

    def held_until(self, now: datetime) -> datetime | None:
        """Return until when what fails is held, without using up its retries; if it is."""
        return self._breaker.probe_at(now)
