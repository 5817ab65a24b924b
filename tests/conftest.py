"""One line for all tests that a server is missing for, instead of one for each of their places."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from support import databases


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if databases.ABSENT in reason:
            report.longrepr = (databases.__file__, 1, reason)
    return report
