"""The contract of a store can fail: each test catches a defect, and each defect is caught."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
from support.handle_mutants import HANDLE_MUTANTS, Apart
from support.mutants import caught_by, promises
from support.repository_mutants import REPOSITORY_MUTANTS, Mutant, Picky

from pinguin_core.testing.contracts import Connect, NotificationRepositoryContract, handling

MUTANTS = REPOSITORY_MUTANTS | HANDLE_MUTANTS


class Examined(NotificationRepositoryContract):
    def __init__(self, mutant: type[Mutant]) -> None:
        self.mutant = mutant

    def storage(self) -> AbstractAsyncContextManager[Connect]:
        return self.mutant.storage()


class Trusted(Examined):
    examples = 10


@pytest.mark.parametrize("sound", [Mutant, Picky, Apart])
def test_what_has_no_defect_passes(sound: type[Mutant]) -> None:
    assert caught_by(Trusted(sound), promises(Trusted)) == []


@pytest.mark.parametrize(("mutant", "catchers"), MUTANTS.values(), ids=MUTANTS)
def test_a_defect_is_caught(
    mutant: type[Mutant], catchers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_LIMIT", 1.0)
    assert catchers == caught_by(Examined(mutant), catchers)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    broken = {catcher for _, catchers in MUTANTS.values() for catcher in catchers}
    assert set(promises(Examined)) == broken
