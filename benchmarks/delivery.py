"""What an e-mail costs us: writing it down, and handing it to a relay over a session that is kept.

    python benchmarks/delivery.py [deliveries in a round]

The relay is a process of its own. CPU is that of our process; the least and the median of some
rounds are told, since other work on the machine only ever adds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from harness import relay, tell, tell_machine

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, TlsMode, mime
from pinguin_core import Email, EmailAddress, NotificationId, SystemClock

ROUNDS: Final = 15
FROM: Final = EmailAddress("benchmark@example.com")
TO: Final = EmailAddress("ada@example.com")
TEXTS: Final = {
    "ASCII": Email(TO, "Your order", "It is on its way.\n" * 10),
    "UTF-8": Email(TO, "Ihre Bestellung für Zoë", "Schöne Grüße, sie ist unterwegs.\n" * 10),
}
TOGETHER: Final = 16

now = SystemClock().now()


def tell_costs(name: str, costs: Sequence[float], aim: float) -> None:
    least, median = min(costs) * 1e6, statistics.median(costs) * 1e6
    tell(name, least, "µs", f"CPU, least; median {median:.1f}; aim < {aim:g}")


def cost_of(action: Callable[[], object], times: int) -> float:
    """Return the seconds of CPU for one of many."""
    started = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - started) / times


def measure_building(times: int) -> None:
    id = NotificationId("notif-0123456789abcdef0123")  # noqa: A001 (the domain's word)
    for name, text in TEXTS.items():
        build = partial(mime.build, text, from_address=FROM, id=id, date=now)
        costs = [cost_of(build, times) for _ in range(ROUNDS)]
        tell_costs(f"building a message, {name}", costs, 60)


async def measure_delivering(port: int, times: int) -> None:
    server = SmtpRelay("127.0.0.1", port, tls=TlsMode.OFF)
    async with SmtpSender(server, from_address=FROM) as sender:

        async def deliver(count: int) -> None:
            for number in range(count):
                await sender.send(TEXTS["ASCII"], id=NotificationId(f"notif-{number}"), date=now)

        async def cost(together: int) -> float:
            started = time.process_time()
            await asyncio.gather(*(deliver(times // together) for _ in range(together)))
            return (time.process_time() - started) / (times // together * together)

        for together in (1, TOGETHER):
            costs = [await cost(together) for _ in range(ROUNDS)]
            tell_costs(f"a pooled delivery, {together} at a time", costs, 250)


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    tell_machine()
    measure_building(times)
    with TemporaryDirectory() as folder, relay(Path(folder)) as server:
        uvloop.run(measure_delivering(server.port, times))


if __name__ == "__main__":
    main()
