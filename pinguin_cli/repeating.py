"""Asking again while a service restarts: for a bounded time, and not without a word."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Final, TypeVar

from pinguin_core import ExponentialBackoff
from pinguin_grpc.client import CallRefused, ServiceUnreachable

PATIENCE: Final = timedelta(seconds=15)
"""How long a question is repeated: a clean stop and the next start take less."""

UNANSWERED: Final = (CallRefused, ServiceUnreachable)
"""What a call without an answer raises, and one whose answer is no."""

_BACKOFF: Final = ExponentialBackoff(
    base=timedelta(milliseconds=200), cap=timedelta(seconds=2), max_retries=sys.maxsize
)
_PASSING: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})

ResultT = TypeVar("ResultT")


def may_pass(error: CallRefused | ServiceUnreachable) -> bool:
    """Tell whether the same call may be answered a little later."""
    if isinstance(error, ServiceUnreachable):
        return error.may_pass
    return error.status_name in _PASSING


async def until_answered(
    ask: Callable[[], Awaitable[ResultT]],
    on_repeat: Callable[[str], None],
    *,
    patience: timedelta = PATIENCE,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ResultT:
    """Make a call that may safely be made twice, again and again until it is answered.

    Args:
        ask: makes the call.
        on_repeat: told once, before the first repetition, what went wrong.
        patience: after how long the last error is raised, the first call included, which is
            given its own time whatever this is.
        sleep: waits so many seconds.

    Raises:
        CallRefused: at once, if the answer will stay the same.
        ServiceUnreachable: at once, if another call would end alike.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience.total_seconds()
    try:
        return await ask()
    except UNANSWERED as error:
        last = _passing(error)
    if loop.time() >= end:
        raise last
    on_repeat(f"{_what(last)}; trying again for up to {patience.total_seconds():.0f} seconds")
    with suppress(TimeoutError):
        async with asyncio.timeout_at(end):
            for retry in count(1):
                await sleep((_BACKOFF.delay(retry) or timedelta(0)).total_seconds())
                try:
                    return await ask()
                except UNANSWERED as error:
                    last = _passing(error)
    raise last


def _passing(error: CallRefused | ServiceUnreachable) -> CallRefused | ServiceUnreachable:
    if not may_pass(error):
        raise error
    return error


def _what(error: CallRefused | ServiceUnreachable) -> str:
    return error.reason if isinstance(error, ServiceUnreachable) else error.message
