from __future__ import annotations

from typing import Literal

import pytest
from reliability.figures import lines, put_together


def report(
    test: str, *figures: tuple[str, object], when: Literal["call", "teardown"] = "call"
) -> pytest.TestReport:
    where = (test, 1, test)
    return pytest.TestReport(test, where, {}, "passed", None, when, user_properties=figures)


def test_counts_add_up_and_of_seconds_the_most_stays() -> None:
    reports = [
        report("tests/reliability/test_it.py::test_that[1]", ("kills", 600), ("seconds", 0.5)),
        report("tests/reliability/test_it.py::test_that[2]", ("kills", 400), ("seconds", 0.25)),
        report("tests/reliability/test_it.py::test_other", ("kills", 7)),
    ]
    assert list(lines(put_together(reports))) == [
        "test_it.py::test_other: 7 kills",
        "test_it.py::test_that: 1,000 kills, 0.50 seconds",
    ]


def test_what_is_no_figure_or_told_of_another_phase_is_left_out() -> None:
    reports = [report("a", ("kills", "many")), report("a", ("kills", 1), when="teardown")]
    assert put_together(reports) == {}
