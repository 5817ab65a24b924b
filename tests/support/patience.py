"""Asynchronous tests over real sockets: bounded in time, and with a clock that can jump ahead."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec

P = ParamSpec("P")
_PATIENCE = 60.0  # seconds after which a test that hangs is ended; a busy machine needs some


class _JumpingLoop(asyncio.SelectorEventLoop):
    ahead = 0.0
    patience: asyncio.Timeout

    def time(self) -> float:
        return super().time() + self.ahead


def jump(by: timedelta) -> None:
    """Let time-outs that lie this far ahead run out now."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _JumpingLoop)
    loop.ahead += by.total_seconds()
    loop.patience.reschedule((loop.patience.when() or 0) + by.total_seconds())


def patient(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of an asynchronous function, in which `jump` may be called."""

    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _JumpingLoop)
        async with asyncio.timeout(_PATIENCE) as loop.patience:
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
            runner.run(bounded(*args, **kwargs))

    return run
