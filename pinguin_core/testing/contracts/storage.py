"""How the repository contract comes by the repositories that it tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeAlias, TypeVar

from hypothesis import given
from hypothesis.strategies import SearchStrategy

from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.base import PATIENCE, Contract, as_test, run, thoroughly

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[NotificationRepository]]
"""Opens one more handle on a storage; leaving the handle's block closes it."""

ContractT = TypeVar("ContractT", bound="StorageContract")
ExampleT = TypeVar("ExampleT")
T = TypeVar("T")


class StorageContract(Contract):
    """Tests of what `storage` opens."""

    def storage(self) -> AbstractAsyncContextManager[Connect]:
        """Make an empty storage, and yield a function that opens a handle on it.

        Each handle is a repository of its own, as another process would have it; several may be
        open at once. Leaving the block removes the storage.
        """
        raise NotImplementedError(f"{type(self).__name__} must define storage()")


def with_store(
    test: Callable[[ContractT, NotificationRepository], Coroutine[Any, Any, None]],
) -> Callable[[ContractT], None]:
    """Make a test of an asynchronous one that needs one repository on an empty storage."""

    async def within(self: ContractT) -> None:
        async with self.storage() as connect, connect() as store:
            await test(self, store)

    return as_test(within, test)


def with_storage(
    test: Callable[[ContractT, Connect], Coroutine[Any, Any, None]],
) -> Callable[[ContractT], None]:
    """Make a test of an asynchronous one that opens its own handles on an empty storage."""

    async def within(self: ContractT) -> None:
        async with self.storage() as connect:
            await test(self, connect)

    return as_test(within, test)


def for_all(
    contract: StorageContract,
    examples: SearchStrategy[ExampleT],
    law: Callable[[NotificationRepository, ExampleT], Coroutine[Any, Any, None]],
) -> None:
    """Check a law with many examples, each on an empty storage."""

    async def within(example: ExampleT) -> None:
        async with contract.storage() as connect, connect() as store:
            await law(store, example)

    # Hypothesis refuses a decorated method that two classes inherit, hence a new one each time.
    @thoroughly(contract)
    @given(example=examples)
    def check(example: ExampleT) -> None:
        run(within(example))

    check()


class Session:
    """A storage that stays open between the runs of an event loop.

    One task enters all blocks and leaves them, because some cannot be left by another.
    """

    def __init__(self, contract: StorageContract) -> None:
        self._contract = contract
        self._runner = asyncio.Runner()
        self._runner.get_loop()
        self._wishes: asyncio.Queue[asyncio.Future[NotificationRepository] | None] = asyncio.Queue()
        self._host = self._runner.get_loop().create_task(self._hold())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the session's event loop."""
        return self._runner.run(asyncio.wait_for(work, PATIENCE))

    def open_handle(self) -> NotificationRepository:
        """Open one more handle; it is closed with the session."""
        return self.run(self._open_handle())

    def close(self) -> None:
        """Close all handles, and the storage."""
        with self._runner:
            self._wishes.put_nowait(None)
            self.run(self._ended())

    async def _open_handle(self) -> NotificationRepository:
        wish: asyncio.Future[NotificationRepository] = asyncio.get_running_loop().create_future()
        self._wishes.put_nowait(wish)
        waits: set[asyncio.Future[Any]] = {wish, self._host}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not wish.done():
            await self._host
        return wish.result()

    async def _ended(self) -> None:
        await self._host

    async def _hold(self) -> None:
        async with self._contract.storage() as connect, AsyncExitStack() as handles:
            while (wish := await self._wishes.get()) is not None:
                wish.set_result(await handles.enter_async_context(connect()))
