"""Running code on the loop until nothing is left to do but wait, without sleeping for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from selectors import SelectorKey
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 20.0  # seconds after which a test that hangs is ended


class _NoticingSelector(selectors.DefaultSelector):
    """Notices that the loop has nothing more to run: it asks for events and is ready to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        idle = timeout is None or timeout > 0
        if not (idle and self.waiting):
            return super().select(timeout)
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()
        return super().select(0)


class _SettlingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.noticing = _NoticingSelector()
        super().__init__(self.noticing)


async def settled() -> None:
    """Return once every other task waits for something that only the test can bring about."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _SettlingLoop)
    future: asyncio.Future[None] = loop.create_future()
    loop.noticing.waiting.append(future)
    await future


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run an asynchronous test, in which `settled` may be awaited."""
    with asyncio.Runner(loop_factory=_SettlingLoop) as runner:
        return runner.run(asyncio.wait_for(test, _PATIENCE))
