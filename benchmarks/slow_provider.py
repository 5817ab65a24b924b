"""Whether a provider that takes 5 s for each message makes accepting slower.

    python benchmarks/slow_provider.py [calls a second] [seconds]

The calls come at a fixed rate; each round has a service and a store of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness import counts, load, percentile, pinguin, relay, tell, tell_machine

ROUNDS = 3
DELAYS = (0.0, 5.0)


def main(rate: int, seconds: int) -> None:
    tell_machine()
    figures: dict[float, list[float]] = {delay: [] for delay in DELAYS}
    for _ in range(ROUNDS):
        for delay in DELAYS:
            figures[delay].append(p99(delay, rate, seconds))
    fast, slow = (median(figures[delay]) for delay in DELAYS)
    tell(f"accept p99 at {rate}/s, provider at once", fast * 1e3, "ms")
    tell(f"accept p99 at {rate}/s, provider after 5 s", slow * 1e3, "ms")
    tell("ratio", slow / fast, "", "target 1.2")


def p99(delay: float, rate: int, seconds: int) -> float:
    calls = rate * seconds
    with TemporaryDirectory() as name:
        folder = Path(name)
        with relay(folder, delay) as smtp, pinguin(folder, smtp.port) as service:
            found = load(service, folder, calls, rate=rate)
        stored = sum(counts(folder).values())
    if stored != calls:
        print(f"NOT ALL of {calls} are stored: {stored}")
    return percentile(found.latencies, 0.99)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(300, 8)[len(given) :])
