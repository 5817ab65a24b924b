from __future__ import annotations

import asyncio
from collections.abc import Callable

from support.settling import run, settled

from pinguin_grpc.gathering import GatheringTransport


class Recording(asyncio.Transport):
    """A transport that keeps what it is told to do."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("aborted")

    def is_closing(self) -> bool:
        return "closed" in self.done or "aborted" in self.done

    def get_write_buffer_size(self) -> int:
        return 100


def what_is_sent(speak: Callable[[GatheringTransport], object]) -> list[bytes | str]:
    async def main() -> list[bytes | str]:
        below = Recording()
        speak(GatheringTransport(below))
        await settled()
        return below.done

    return run(main())


def test_what_one_turn_writes_is_sent_as_one() -> None:
    def speak(transport: GatheringTransport) -> None:
        transport.write(b"headers ")
        transport.write(memoryview(b"message "))
        transport.write(b"trailers")

    assert what_is_sent(speak) == [b"headers message trailers"]


def test_each_turn_sends_what_it_has() -> None:
    async def main() -> list[bytes | str]:
        below = Recording()
        transport = GatheringTransport(below)
        transport.write(b"one")
        await settled()
        transport.write(b"two")
        await settled()
        return below.done

    assert run(main()) == [b"one", b"two"]


def test_nothing_is_lost_by_closing() -> None:
    def speak(transport: GatheringTransport) -> None:
        transport.write(b"goodbye")
        transport.close()

    assert what_is_sent(speak) == [b"goodbye", "closed"]


def test_nothing_is_sent_after_an_abort() -> None:
    def speak(transport: GatheringTransport) -> None:
        transport.write(b"never mind")
        transport.abort()

    assert what_is_sent(speak) == ["aborted"]


def test_what_waits_for_the_end_of_the_turn_counts_as_unsent() -> None:
    async def main() -> int:
        transport = GatheringTransport(Recording())
        transport.write(b"12345")
        return transport.get_write_buffer_size()

    assert run(main()) == 105
