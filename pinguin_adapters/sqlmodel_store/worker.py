"""Threads that do what concurrent callers ask for, as much at a time as has gathered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.errors import translated
from pinguin_core.errors import StoreUnavailable

TaskT = TypeVar("TaskT")

_ENOUGH: Final = 512
"""Requests in a batch: enough to make a commit cheap, few enough to answer the first soon."""

_REST: Final = 10.0
"""Seconds until a further thread is begun again, when one could not connect."""


@dataclass(slots=True, eq=False)
class Request(Generic[TaskT]):
    """What somebody waits for.

    Attributes:
        task: what is to be done.
        answer: where its outcome is awaited.
        outcome: what came of it; an exception is raised to whoever waits.
        leave: called when it is over, even if nobody waits for it any more.
    """

    task: TaskT
    answer: asyncio.Future[Any]
    outcome: object = None
    leave: Callable[[], None] | None = None

    def deliver(self) -> None:
        """Hand over the outcome, unless nobody waits any more."""
        if self.leave is not None:
            self.leave()
        if self.answer.done():
            return
        if isinstance(self.outcome, BaseException):
            self.answer.set_exception(self.outcome)
        else:
            self.answer.set_result(self.outcome)


class Worker(Generic[TaskT]):
    """Threads with a connection each, from entering the `async with` to leaving it.

    While one does a batch, the next gathers; when that grows, a further thread begins, and the
    others go on without it if it cannot connect. On leaving, what was asked for is still done; what
    is asked for later is refused.

    Args:
        name: what the threads are called.
        connect: opens a connection.
        work: does a batch, and gives each request its outcome.
        threads: how many there are at the most.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractContextManager[Connection]],
        work: Callable[[Connection, Sequence[Request[TaskT]]], None],
        threads: int = 1,
    ) -> None:
        self._name = name
        self._connect = connect
        self._work = work
        self._threads = threads
        self._inbox: SimpleQueue[list[Request[TaskT]] | None] = SimpleQueue()
        self._gathered: list[Request[TaskT]] = []
        self._open = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended: list[asyncio.Future[None]] = []
        self._rests_until = self._loop.time()
        try:
            await self._begin()
        except BaseException:
            self._end()
            raise
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hand_over()
        self._open = False
        self._end()
        await asyncio.gather(*self._ended)

    async def ask(self, task: TaskT, admit: Callable[[], Callable[[], None]] | None = None) -> Any:
        """Have a task done, and return its outcome or raise it.

        Cancelling the call does not call the task back.

        Args:
            task: what is to be done.
            admit: decides whether it may come in, and returns what is called when it is over;
                which is not when the call is cancelled.

        Raises:
            StoreUnavailable: if the worker is not open.
        """
        if not self._open:
            raise StoreUnavailable("the store is closed")
        leave = admit() if admit else None
        request = Request(task, self._loop.create_future(), leave=leave)
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(request)
        return await request.answer

    def _begin(self) -> asyncio.Future[None]:
        """Begin a thread, and return what ends when it has connected."""
        connected: Request[None] = Request(None, self._loop.create_future())
        ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.append(ended)
        ended.add_done_callback(self._leave)
        Thread(target=self._run, args=(connected, ended), name=self._name, daemon=True).start()
        return connected.answer

    def _leave(self, ended: asyncio.Future[None]) -> None:
        self._ended.remove(ended)
        self._rests_until = self._loop.time() + _REST

    def _end(self) -> None:
        for _ in self._ended:
            self._inbox.put(None)

    def _hand_over(self) -> None:
        """Give the threads all that one turn of the event loop has asked for.

        Given at once, the first request would wake a thread, which then contends with the loop for
        the interpreter while the rest of its batch is still being made.
        """
        if not self._inbox.empty() and self._may_begin():
            self._begin().add_done_callback(asyncio.Future.exception)  # which nobody waits for
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._inbox.put(gathered)

    def _may_begin(self) -> bool:
        # A thread that begins later than the end would take the end that was meant for another.
        is_rested = self._loop.time() >= self._rests_until
        return self._open and len(self._ended) < self._threads and is_rested

    def _run(self, connected: Request[None], ended: asyncio.Future[None]) -> None:
        try:
            with self._connect() as connection:
                self._post(connected.deliver)
                while batch := self._gather():
                    self._do(connection, batch)
        except Exception as error:  # noqa: BLE001 (whoever opens the worker waits for it)
            connected.outcome = translated(error)
            self._post(connected.deliver)
        finally:
            self._post(Request(None, ended).deliver)

    def _gather(self) -> list[Request[TaskT]]:
        """Wait for a request and take what is there besides; return nothing at the end."""
        requests = self._inbox.get()
        batch: list[Request[TaskT]] = []
        with suppress(Empty):
            while requests is not None:
                batch += requests
                if len(batch) >= _ENOUGH:
                    return batch
                requests = self._inbox.get_nowait()
            if batch:
                self._inbox.put(None)
        return batch

    def _do(self, connection: Connection, batch: Sequence[Request[TaskT]]) -> None:
        try:
            self._work(connection, batch)
        except Exception as error:  # noqa: BLE001 (a bug in the work must not leave callers waiting)
            for request in batch:
                request.outcome = error
        self._post(lambda: _deliver(batch))

    def _post(self, callback: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _deliver(batch: Sequence[Request[Any]]) -> None:
    for request in batch:
        request.deliver()
