"""Accepted over gRPC, stored, delivered over SMTP, recorded: the whole service on one machine.

    python benchmarks/end_to_end.py [notifications] [rounds]

h2load (8 clients, each with one call at a time), the service with its SQLite file and an SMTP
server that only counts share the machine. The time runs until the last message has arrived.
"""

from __future__ import annotations

import smtplib
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness import Server, counts, load, percentile, pinguin, relay, tell, tell_machine

PATIENCE = 120


def main(count: int, rounds: int) -> None:
    tell_machine()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with relay(folder) as smtp, pinguin(folder, smtp.port) as service:
            figures = [round_of(service, smtp, folder, count) for _ in range(rounds)]
            arrived = taken(smtp)
        stored = counts(folder)
    accepted, delivered, cpu, smtp_cpu, p99 = map(median, zip(*figures, strict=True))
    tell("accepted", accepted, "per s", "while it delivers")
    tell("accepted and delivered", delivered, "per s", "target 800")
    tell("CPU of the service for each", cpu * 1e6, "us", f"SMTP server {smtp_cpu * 1e6:.0f} us")
    tell("p99 of accepting at full load", p99 * 1e3, "ms")
    total = count * rounds
    verdict = "all" if (arrived, stored) == (total, {"sent": total}) else "NOT ALL"
    print(f"{verdict} of {total}: {arrived} at the SMTP server, in the database {stored}")


def round_of(service: Server, smtp: Server, folder: Path, count: int) -> tuple[float, ...]:
    goal = taken(smtp) + count
    cpu, smtp_cpu, began = service.cpu(), smtp.cpu(), time.monotonic()
    found = load(service, folder, count)
    while taken(smtp) < goal and time.monotonic() - began < PATIENCE:
        time.sleep(0.02)
    took = time.monotonic() - began
    used, smtp_used = service.cpu() - cpu, smtp.cpu() - smtp_cpu
    return (
        found.rate,
        count / took,
        used / count,
        smtp_used / count,
        percentile(found.latencies, 0.99),
    )


def taken(smtp: Server) -> int:
    with smtplib.SMTP("127.0.0.1", smtp.port, timeout=10) as session:
        return int(session.docmd("XCOUNT")[1])


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(5_000, 3)[len(given) :])
