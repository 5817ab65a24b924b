import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from loguru import logger
from support.commands import SETTINGS, Shell

Environment = Callable[[Mapping[str, str]], None]


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Gives the process exactly these settings, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    def set_all(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the test set up the process's logging, and puts it back afterwards."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logger.remove()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def shell(
    tmp_path: Path,
    own_logging: None,  # noqa: ARG001 (commands set it up)
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """Runs commands within this process, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return Shell(monkeypatch, capsys)
