"""The contract of a counter can fail: each test catches a defect, and each defect is caught."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import pytest
from support.counting_mutants import COUNTING_MUTANTS, CountingRepository
from support.mutants import caught_by, promises

from pinguin_core import NotificationRepository
from pinguin_core.testing.contracts import Connect, SmsLedgerContract


class Examined(SmsLedgerContract):
    def __init__(self, mutant: type[CountingRepository]) -> None:
        self.mutant = mutant

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        first = self.mutant()

        def connect() -> AbstractAsyncContextManager[NotificationRepository]:
            handle = self.mutant()
            handle._stored = first._stored
            return nullcontext(handle)

        yield connect


def test_what_has_no_defect_passes() -> None:
    assert caught_by(Examined(CountingRepository), promises(Examined)) == []


@pytest.mark.parametrize(("mutant", "catchers"), COUNTING_MUTANTS.values(), ids=COUNTING_MUTANTS)
def test_a_defect_is_caught(mutant: type[CountingRepository], catchers: list[str]) -> None:
    assert catchers == caught_by(Examined(mutant), catchers)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    broken = {catcher for _, catchers in COUNTING_MUTANTS.values() for catcher in catchers}
    assert set(promises(Examined)) == broken
