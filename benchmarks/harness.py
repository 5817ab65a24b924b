"""What the benchmarks share: processes and what they cost, h2load, percentiles."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pinguin_grpc.wire.pinguin import NotificationRequest

HERE: Final = Path(__file__).parent
TOKEN: Final = "benchmark"
METHOD: Final = "pinguin.NotificationService/SendNotification"
FAR_FUTURE: Final = datetime(2100, 1, 1, tzinfo=UTC)
TICKS: Final = os.sysconf("SC_CLK_TCK")
PATIENCE: Final = 30
READY: Final = re.compile(r"(?:127\.0\.0\.1|localhost):(\d+)")


@dataclass
class Server:
    """A process that listens on a port of 127.0.0.1."""

    process: subprocess.Popen[str]
    port: int

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used, in all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Return its resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[Server]:
    """Run a server until the block ends; it tells its port in its first line with an address."""
    log = folder / f"{Path(command[0]).stem.lstrip('-')}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | environment,
            cwd=folder,
            stdout=out,
            stderr=out,
            text=True,
        )
        try:
            yield Server(process, port_in(log, process))
        finally:
            process.terminate()
            process.wait(30)


def port_in(log: Path, process: subprocess.Popen[str]) -> int:
    """Wait until the log tells a port."""
    deadline = time.monotonic() + PATIENCE
    while not (found := READY.search(log.read_text())):
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        raise SystemExit(f"{log.stem} does not serve:\n{log.read_text()}")
    return int(found[1])


@contextmanager
def pinguin(folder: Path, smtp_port: int) -> Iterator[Server]:
    """Run the service as users run it, with a database in a folder and a relay on a port."""
    environment = {
        "NOTIFICATION_AUTH_TOKEN": TOKEN,
        "GRPC_LISTEN_ADDR": "127.0.0.1:0",
        "DATABASE_PATH": str(database(folder)),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_port),
        "SMTP_TLS": "off",
        "FROM_EMAIL": "benchmark@example.com",
    }
    with started(["-m", "pinguin_cli", "serve"], environment, folder) as server:
        yield server


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    """Run the server that does nothing."""
    with started([str(HERE / "bare_server.py")], {}, folder) as server:
        yield server


@contextmanager
def relay(folder: Path, delay: float = 0) -> Iterator[Server]:
    """Run the SMTP server that only counts, after a delay for each message."""
    with started([str(HERE / "lean_smtp.py"), str(delay)], {}, folder) as server:
        yield server


def database(folder: Path) -> Path:
    return folder / "pinguin.db"


def counts(folder: Path) -> dict[str, int]:
    """Count the stored notifications by their state."""
    connection = sqlite3.connect(f"file:{database(folder)}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT state, count(*) FROM pinguin_notification GROUP BY state")
        return dict(rows.fetchall())
    finally:
        connection.close()


@dataclass
class Load:
    """What a run of h2load found."""

    calls: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Return the calls that were answered in a second."""
        return self.calls / self.seconds


def load(
    server: Server,
    folder: Path,
    calls: int,
    *,
    scheduled_at: datetime | None = None,
    clients: int = 8,
    rate: float | None = None,
) -> Load:
    """Send a notification again and again; with a rate, that many a second in all."""
    body, log = folder / "body", folder / "h2load.log"
    body.write_bytes(frame(scheduled_at))
    log.unlink(missing_ok=True)
    command = ["h2load", "-n", str(calls), "-c", str(clients), "-t", "1", "-m", "1"]
    command += ["-d", str(body), "--log-file", str(log)]
    for header in ("content-type: application/grpc", "te: trailers"):
        command += ["-H", header]
    command += ["-H", f"authorization: Bearer {TOKEN}"]
    if rate is not None:
        command += ["--rps", str(rate / clients)]
    command.append(f"http://127.0.0.1:{server.port}/{METHOD}")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if f"{calls} succeeded" not in done.stdout:
        raise SystemExit(f"calls failed:\n{done.stdout}")
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    begins = [int(row[0]) / 1e6 for row in rows]
    latencies = sorted(int(row[2]) / 1e6 for row in rows)
    ends = [begin + int(row[2]) / 1e6 for begin, row in zip(begins, rows, strict=True)]
    return Load(calls, max(ends) - min(begins), latencies)


def frame(scheduled_at: datetime | None) -> bytes:
    """Return a SendNotification request as it goes over the wire."""
    request = NotificationRequest(
        recipient="ada@example.com",
        subject="Your order",
        message="It is on its way. " * 10,
        scheduled_time=scheduled_at,
    )
    message = bytes(request)
    return struct.pack(">BI", 0, len(message)) + message


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def tell(name: str, value: float, unit: str, remark: str = "") -> None:
    print(f"{name:<44}{value:>12,.2f} {unit:<8}{remark}")


def tell_machine() -> None:
    load_before = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load_before:.1f} before, Python {sys.version.split()[0]}")
