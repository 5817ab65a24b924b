"""The contract of a sender can fail: each test catches a defect, and each defect is caught."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.memory_provider import MemoryProvider, MemorySender
from support.mutants import caught_by, promises
from support.sender_mutants import SENDER_MUTANTS

from pinguin_core.testing.contracts import EmailSenderContract, Provider, troubles


class Examined(EmailSenderContract):
    def __init__(self, mutant: type[MemorySender]) -> None:
        self.mutant = mutant

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[MemorySender, Provider]]:
        provider = MemoryProvider()
        yield self.mutant(provider), provider


def test_what_has_no_defect_passes() -> None:
    assert caught_by(Examined(MemorySender), promises(Examined)) == []


@pytest.mark.parametrize(("mutant", "catchers"), SENDER_MUTANTS.values(), ids=SENDER_MUTANTS)
def test_a_defect_is_caught(
    mutant: type[MemorySender], catchers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "_LIMIT", 1.0)
    assert catchers == caught_by(Examined(mutant), catchers)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    broken = {catcher for _, catchers in SENDER_MUTANTS.values() for catcher in catchers}
    assert set(promises(Examined)) == broken
