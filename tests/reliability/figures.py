"""The figures of a run: what the tests did, and what came out, for the end of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import pytest

Figure: TypeAlias = int | float
Note: TypeAlias = Callable[..., None]
"""Notes figures by their names; those of a test's parameters are put together."""


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Note counts (which add up) and seconds or ratios (of which the largest stays)."""

    def note_each(**figures: Figure) -> None:
        for name, figure in figures.items():
            record_property(name, figure)

    return note_each


def put_together(reports: Sequence[pytest.TestReport]) -> Mapping[str, Mapping[str, Figure]]:
    """Put the figures of each test function together."""
    found: dict[str, dict[str, Figure]] = {}
    for report in reports:
        if report.when != "call":
            continue
        test = report.nodeid.partition("[")[0].rpartition("/")[2]
        for name, figure in report.user_properties:
            if isinstance(figure, int | float):
                figures = found.setdefault(test, {})
                before = figures.get(name, 0)
                figures[name] = before + figure if isinstance(figure, int) else max(before, figure)
    return found


def lines(figures: Mapping[str, Mapping[str, Figure]]) -> Iterator[str]:
    for test, of_test in sorted(figures.items()):
        told = (
            f"{figure:,} {name}" if isinstance(figure, int) else f"{figure:.2f} {name}"
            for name, figure in ((name.replace("_", " "), of) for name, of in of_test.items())
        )
        yield f"{test}: {', '.join(told)}"
