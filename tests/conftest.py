"""What the end of a report tells: what was left out, and what was done."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest
from reliability.figures import lines, put_together
from support import databases


def pytest_configure() -> None:
    """Let processes be interrupted that tests start, though this one was put into background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give all tests that a server is missing for one place, and so one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if databases.ABSENT in reason:
            report.longrepr = (databases.__file__, 1, reason)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    stats = terminalreporter.stats
    if figures := put_together([*stats.get("passed", []), *stats.get("failed", [])]):
        terminalreporter.section("what was done")
        for line in lines(figures):
            terminalreporter.write_line(line)
