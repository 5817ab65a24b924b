"""How fast a backlog of due notifications is worked off, and in how much memory.

    python benchmarks/drain.py [notifications …]

The sender does nothing, so that this is what the dispatcher and the store can do. Each size runs in
a process of its own; memory must not grow with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from backlog import add, backlog
from harness import database, tell, tell_machine

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Channel,
    Dispatcher,
    Email,
    NotificationId,
    Receipt,
)

SIZES = (10_000, 100_000)
BURST = 500


class Nowhere:
    """Delivers nothing, and measures on the way."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.delivered = 0
        self.memory: list[float] = []
        self.done = asyncio.Event()

    async def send(
        self,
        message: Email,  # noqa: ARG002 (the port dictates the arguments)
        *,
        id: NotificationId,
        date: datetime,  # noqa: ARG002 (the port dictates the arguments)
    ) -> Receipt:
        """Take it, and forget it."""
        self.delivered += 1
        if self.delivered in {self.expected // 100, self.expected // 2, self.expected}:
            self.memory.append(resident())
        if self.delivered == self.expected:
            self.done.set()
        return Receipt(str(id))


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def fill(url: str, count: int) -> None:
    async with SqlModelNotificationRepository.open(url) as store:
        for _ in range(count // BURST):
            await add(store, backlog(BURST), BURST)


async def drain(url: str, count: int) -> dict[str, object]:
    sender = Nowhere(count)
    async with SqlModelNotificationRepository.open(url) as store:
        cpu, began = cpu_seconds(), time.perf_counter()
        async with Dispatcher(store, email=sender):
            await sender.done.wait()
        took = time.perf_counter() - began
        left = await store.next_wake(Channel.EMAIL)
    return {
        "rate": count / took,
        "cpu": (cpu_seconds() - cpu) / count,
        "memory": sender.memory,
        "complete": left is None and sender.delivered == count,
    }


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(count: int) -> None:
    found: dict[str, Any] = {}
    with TemporaryDirectory() as name:
        url = f"sqlite:///{database(Path(name))}"
        for step in ("--fill", "--drain"):
            command = [sys.executable, __file__, step, url, str(count)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = json.loads(output)
    start, middle, end = found["memory"]
    tell(
        f"{count} drained", found["rate"], "per s", f"target 3000; {found['cpu'] * 1e6:.0f} us CPU"
    )
    tell("  memory at 1 %, 50 % and 100 %", start, "MiB", f"{middle:.1f} {end:.1f}")
    print("  all were delivered" if found["complete"] else "  NOT ALL were delivered")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--fill"]:
        uvloop.run(fill(arguments[1], int(arguments[2])))
        print("{}")
    elif arguments[:1] == ["--drain"]:
        print(json.dumps(uvloop.run(drain(arguments[1], int(arguments[2])))))
    else:
        tell_machine()
        for count in map(int, arguments or SIZES):
            measure(count)


if __name__ == "__main__":
    main(sys.argv[1:])
