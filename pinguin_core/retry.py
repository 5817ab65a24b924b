"""When, and how often, a failed attempt is made again: a pure decision."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pinguin_core.errors import InvalidValue


class RetryPolicy(Protocol):
    """Decides whether and when a notification is tried again."""

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        """Say how long to wait before a retry.

        A policy gives up in the end: from some retry on the answer is None, and stays so.

        Args:
            retry: the number of the retry, counted from 1.
            retry_after: how long the provider asked us to wait, if it did.

        Returns:
            The time to wait, never negative and never shorter than `retry_after`; or None when
            there is to be no such retry.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """Twice as long before each retry as before the last, jittered and capped.

    The ceiling before retry n is `min(cap, base · 2^(n-1))`; the delay is drawn evenly from
    `[ceiling / 2, ceiling]`, so that notifications which failed together do not come back
    together, and is never shorter than the provider asked for. With the defaults, retry 1 comes
    after 15 to 30 s, retry 2 after 30 to 60 s, retry 5 after 4 to 8 min. Any n is safe: the power
    is not computed once it must exceed the cap.

    Args:
        base: the ceiling before the first retry; more than zero.
        cap: the highest ceiling; at least `base`.
        max_retries: how many retries there are; 0 for none.
        uniform: draws a float evenly from between its two arguments, both included.

    Raises:
        InvalidValue: for a value out of range.
    """

    base: timedelta = timedelta(seconds=30)
    cap: timedelta = timedelta(hours=1)
    max_retries: int = 5
    uniform: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        if self.base <= timedelta(0):
            raise InvalidValue("base", "must be more than zero")
        if self.cap < self.base:
            raise InvalidValue("cap", "must be at least the base")
        if self.max_retries < 0:
            raise InvalidValue("max_retries", "must be 0 or more")

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        """Draw the delay before a retry; None after the last one. See `RetryPolicy.delay`."""
        if retry > self.max_retries:
            return None
        drawn = self._ceiling(retry) * self.uniform(0.5, 1.0)
        return drawn if retry_after is None else max(drawn, retry_after)

    def _ceiling(self, retry: int) -> timedelta:
        doublings = retry - 1
        if doublings >= (self.cap // self.base).bit_length():
            return self.cap
        return self.base * (1 << doublings)
