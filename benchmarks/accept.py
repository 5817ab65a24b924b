"""How fast notifications are accepted, beside a bare grpclib server that does nothing.

    python benchmarks/accept.py [calls in a round] [rounds]

Everything is scheduled for 2100, so that nothing is delivered meanwhile. Rounds alternate, and
medians are compared. h2load runs on the same machine: 8 clients, each with one call at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness import (
    FAR_FUTURE,
    Server,
    bare,
    counts,
    load,
    percentile,
    pinguin,
    tell,
    tell_machine,
)


def main(calls: int, rounds: int) -> None:
    tell_machine()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with bare(folder) as nothing, pinguin(folder, smtp_port=9) as service:
            rates, costs = compare(service, nothing, folder, calls, rounds)
            latency = at_half_load(service, folder, rates[0] / 2)
            total = calls * (rounds + 1) + latency[0]
        stored = counts(folder)
    tell("accepted by Pinguin", rates[0], "calls/s", f"{costs[0] * 1e6:.0f} us of CPU each")
    tell("answered by bare grpclib", rates[1], "calls/s", f"{costs[1] * 1e6:.0f} us of CPU each")
    tell("ratio", rates[0] / rates[1], "", "target 0.65")
    tell("p50 at half load", latency[1], "ms")
    tell("p99 at half load", latency[2], "ms", "target 15")
    verdict = "all" if stored == {"queued": total} else "NOT ALL"
    print(f"{verdict} of {total} are stored and queued: {stored}")


def compare(
    service: Server, nothing: Server, folder: Path, calls: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the rates of both, and the seconds of CPU that a call costs each."""
    servers = (service, nothing)
    rates: list[list[float]] = [[], []]
    costs: list[list[float]] = [[], []]
    for server in servers:
        load(server, folder, calls, scheduled_at=FAR_FUTURE)
    for _ in range(rounds):
        for which, server in enumerate(servers):
            before = server.cpu()
            rates[which].append(load(server, folder, calls, scheduled_at=FAR_FUTURE).rate)
            costs[which].append((server.cpu() - before) / calls)
    return [*map(median, rates)], [*map(median, costs)]


def at_half_load(service: Server, folder: Path, rate: float) -> tuple[int, float, float]:
    calls = int(rate * 8)
    found = load(service, folder, calls, scheduled_at=FAR_FUTURE, rate=rate)
    return calls, percentile(found.latencies, 0.5) * 1e3, percentile(found.latencies, 0.99) * 1e3


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(4_000, 5)[len(given) :])
