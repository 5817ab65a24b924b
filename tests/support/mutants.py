"""Running the tests of a contract one by one, to see which of them fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase, settings

from pinguin_core.testing.contracts.base import Contract

_PREFIX = "test_"


def promises(contract: type[Contract]) -> list[str]:
    """List the tests of a contract, without their common prefix."""
    return [name.removeprefix(_PREFIX) for name in dir(contract) if name.startswith(_PREFIX)]


def caught_by(contract: Contract, names: Iterable[str]) -> list[str]:
    """Run some tests of a contract, and list those that fail."""
    with _without_shrinking():
        return [name for name in names if _fails(contract, name)]


@contextmanager
def _without_shrinking() -> Iterator[None]:
    """Nobody reads these failures, and making them readable takes long."""
    before = settings()
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")
    try:
        yield
    finally:
        settings.register_profile("before mutants", before)
        settings.load_profile("before mutants")


def _fails(contract: Contract, name: str) -> bool:
    try:
        getattr(contract, _PREFIX + name)()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 (a defect may show as any error)
        return True
    return False
