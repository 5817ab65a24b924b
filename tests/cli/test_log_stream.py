"""Whoever logs never waits for whoever reads the log."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

import pytest
from support.commands import COMMAND, PATIENCE, Shell, environment

from pinguin_cli.log_stream import LogStream

LINE = "x" * 999 + "\n"
MORE_THAN_FITS = 4_000
SETTINGS = {
    "NOTIFICATION_AUTH_TOKEN": "correct-token",
    "GRPC_LISTEN_ADDR": "127.0.0.1:0",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",
    "FROM_EMAIL": "a@example.com",
    "LOG_LEVEL": "DEBUG",
}

Pipe = tuple[TextIO, TextIO]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Two ends, the one to read from first."""
    reading, writing = os.pipe()
    with open(reading) as reader:  # noqa: PTH123 (a descriptor has no path)
        writer = open(writing, "w")  # noqa: PTH123, SIM115 (as above; closed below)
        yield reader, writer
        with suppress(OSError):
            writer.close()


def test_what_is_written_arrives_in_order(pipe: Pipe) -> None:
    reader, writer = pipe
    with LogStream(writer, print) as stream:
        for number in range(100):
            stream.write(f"{number} größer\n")
    writer.close()
    assert reader.read().splitlines() == [f"{number} größer" for number in range(100)]


def test_nobody_waits_for_a_reader_and_what_is_dropped_is_counted(pipe: Pipe) -> None:
    reader, writer = pipe
    seen: SimpleQueue[str | int] = SimpleQueue()

    def read_all() -> None:
        for line in reader:
            seen.put(line)

    reading = threading.Thread(target=read_all)
    dropped = read = 0
    with LogStream(writer, seen.put) as stream:
        for _ in range(MORE_THAN_FITS):
            stream.write(LINE)
        reading.start()
        while dropped + read < MORE_THAN_FITS:
            match seen.get(timeout=PATIENCE):
                case int(lost):  # may come more than once
                    dropped += lost
                case line:
                    assert line == LINE
                    read += 1
    writer.close()
    reading.join(PATIENCE)
    assert 0 < read < MORE_THAN_FITS


def test_a_closed_pipe_stops_nobody(pipe: Pipe) -> None:
    reader, writer = pipe
    reader.close()
    with LogStream(writer, print) as stream:
        stream.write(LINE)
        stream.write(LINE)


def test_a_service_whose_log_nobody_reads_goes_on(tmp_path: Path, shell: Shell) -> None:
    reading, writing = os.pipe()
    with open(reading) as log:  # noqa: PTH123 (a descriptor has no path)
        service = subprocess.Popen(
            [*COMMAND, "serve"],
            cwd=tmp_path,
            env=environment(SETTINGS),
            stdout=subprocess.DEVNULL,
            stderr=writing,
        )
        try:
            ready = next(line for line in log if '"service.ready"' in line)
            address = ready.partition('"address": "')[2].partition('"')[0]
            _fill(writing)
            caller = {"NOTIFICATION_AUTH_TOKEN": "correct-token", "GRPC_SERVER_ADDR": address}
            sent = shell("send", "--to", "a@example.com", "--message", "Hi", variables=caller)
            shown = shell("status", sent.out.split()[-1], variables=caller)
            service.send_signal(signal.SIGTERM)
            assert (sent.code, shown.code, service.wait(PATIENCE)) == (0, 0, 0)
        finally:
            service.kill()
            service.wait(PATIENCE)
            os.close(writing)


def _fill(pipe: int) -> None:
    """Fill a pipe, so that whoever writes to it next has to wait."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 512)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    os.set_blocking(pipe, True)
