"""The contract of a reconciler can fail: each test catches a defect, and each defect is caught."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.memory_reconciler import RECONCILER_MUTANTS, ListingProvider, MemoryReconciler
from support.mutants import caught_by, promises

from pinguin_core.testing.contracts import Provider, SmsReconcilerContract, SmsSenderContract

PROMISES = sorted(set(promises(SmsReconcilerContract)) - set(promises(SmsSenderContract)))


class Examined(SmsReconcilerContract):
    def __init__(self, mutant: type[MemoryReconciler]) -> None:
        self.mutant = mutant

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[MemoryReconciler, Provider]]:
        provider = ListingProvider()
        yield self.mutant(provider), provider


def test_what_has_no_defect_passes() -> None:
    assert caught_by(Examined(MemoryReconciler), PROMISES) == []


@pytest.mark.parametrize(
    ("mutant", "catchers"), RECONCILER_MUTANTS.values(), ids=RECONCILER_MUTANTS
)
def test_a_defect_is_caught(mutant: type[MemoryReconciler], catchers: list[str]) -> None:
    assert catchers == caught_by(Examined(mutant), catchers)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    assert set(PROMISES) == {name for _, names in RECONCILER_MUTANTS.values() for name in names}
