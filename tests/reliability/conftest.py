"""Marks all tests of this folder, and says with each failure what its chance began with."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from reliability.figures import note
from reliability.scale import SEED

__all__ = ["note"]
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.reliability)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 (pytest looks at the names)
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("seed", f"PINGUIN_SEED={SEED}"))
    return report
