"""Running the command line: within this process, or as a process of its own."""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pytest

from pinguin_cli.app import main
from pinguin_cli.names import PREFIXES
from pinguin_cli.settings import ClientSettings, ServerSettings

PATIENCE = 30.0
"""Seconds after which a process that has not done what it should is taken for hung."""

SETTINGS = {
    name.upper() for model in (ServerSettings, ClientSettings) for name in model.model_fields
}
COMMAND = [sys.executable, "-m", "pinguin_cli"]


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with exactly these settings."""
    others = {name: value for name, value in os.environ.items() if not _concerns_us(name)}
    return {**others, "NO_COLOR": "1", "TERM": "dumb", **variables}


def _concerns_us(name: str) -> bool:
    return name in SETTINGS or name.startswith(PREFIXES)


def run(*arguments: str, cwd: Path, variables: Mapping[str, str], stdin: str = "") -> Finished:
    """Run a command in a process of its own, to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Shell:
    """Runs commands within this process, which is quicker; each with exactly the given settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(
        self, *arguments: str, variables: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Finished:
        with self._monkeypatch.context() as patch:
            for name in SETTINGS:
                patch.delenv(name, raising=False)
            for name, value in (variables or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["pinguin", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with pytest.raises(SystemExit) as ended:
                main()
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, printed.out, printed.err)


@dataclass
class Service:
    """`pinguin serve` in a process of its own, while the block runs; killed if it is still there.

    The block begins as soon as it accepts calls.
    """

    cwd: Path
    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *self.arguments],
            cwd=self.cwd,
            env=environment({"GRPC_LISTEN_ADDR": "127.0.0.1:0", **self.variables}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()
        try:
            self.address = self.wait_for("service.ready")["address"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log on until an event."""
        return self.wait_until(lambda record: record["event"] == event)

    def wait_until(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read the log on until a record of a kind."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            if not line:
                raise AssertionError("the service ended early:\n" + "".join(self.log))
            record: dict[str, Any] = json.loads(line)
            self.records.append(record)
            if is_it(record):
                return record

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> Finished:
        """Send a signal, and wait for the end."""
        self.process.send_signal(signum)
        return self.finish()

    def finish(self) -> Finished:
        """Wait for the end."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        return Finished(code, self.process.stdout.read(), "".join(self.log))

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put("")

    def _end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
