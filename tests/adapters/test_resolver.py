"""Looking names up: whoever waits for one that hangs, nobody else does."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.mailing import FROM, send
from support.patience import patient
from support.waiting import in_time

from pinguin_adapters.resolver import Address, Resolver
from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender

HERE: Address = (
    socket.AF_INET,
    socket.SOCK_STREAM,
    socket.IPPROTO_TCP,
    "",
    ("192.0.2.1", 25),
)


class SlowNames:
    """A system that is asked for names and answers once it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.answer: Exception | None = None
        self.hangs = asyncio.Event()
        self.go_on = Event()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, *args: Any, **options: Any) -> Any:
        if not host.endswith(".test"):
            return self._real(host, *args, **options)
        self.asked.append(host)
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.hangs.set)
        self.go_on.wait()
        if self.answer is not None:
            raise self.answer
        return [HERE]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    slow = SlowNames(monkeypatch)
    yield slow
    slow.go_on.set()


async def begun(*waiting: asyncio.Task[Any]) -> None:
    """Let each come as far as it can."""
    assert not (await asyncio.wait(waiting, timeout=0))[0]


@patient
async def test_the_addresses_of_a_name_are_found() -> None:
    (*_, address), *_ = await Resolver().look_up("127.0.0.1", 25)
    assert address == ("127.0.0.1", 25)


def test_those_who_wait_for_a_name_share_one_look_up(names: SlowNames) -> None:
    @patient
    async def run() -> None:
        resolver = Resolver()
        waiting = [asyncio.create_task(resolver.look_up("a.test", 25)) for _ in range(50)]
        await begun(*waiting)
        waiting.pop().cancel()
        names.go_on.set()
        assert await asyncio.gather(*waiting) == [[HERE]] * 49
        assert names.asked == ["a.test"]
        assert await resolver.look_up("a.test", 25) == [HERE]
        assert names.asked == ["a.test"] * 2

    run()


def test_why_a_name_is_not_found_is_told_to_all_who_wait(names: SlowNames) -> None:
    @patient
    async def run() -> None:
        resolver = Resolver()
        waiting = [asyncio.create_task(resolver.look_up("a.test", 25)) for _ in range(2)]
        await begun(*waiting)
        names.answer = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        names.go_on.set()
        for each in waiting:
            with pytest.raises(socket.gaierror, match="Temporary failure"):
                await each
        names.answer = None
        assert await resolver.look_up("a.test", 25) == [HERE]

    run()


@pytest.mark.usefixtures("names")
def test_a_name_that_hangs_holds_nobody_up_who_wants_another() -> None:
    @patient
    async def run() -> None:
        resolver = Resolver()
        hanging = [asyncio.create_task(resolver.look_up(f"{n}.test", 25)) for n in range(40)]
        await begun(*hanging)
        assert await resolver.look_up("127.0.0.1", 25)
        assert await asyncio.to_thread(int) == 0
        for each in hanging:
            each.cancel()

    run()


def test_a_relay_s_name_that_hangs_holds_nothing_else_up(names: SlowNames) -> None:
    """As many messages wait as a service sends at once; others need the event loop's threads."""

    @patient
    async def run() -> None:
        names.loop = asyncio.get_running_loop()
        async with SmtpSender(SmtpRelay("relay.test"), from_address=FROM) as sender:
            waiting = [asyncio.create_task(send(sender)) for _ in range(16)]
            await begun(*waiting)
            await in_time(names.hangs, "a look-up")
            assert await asyncio.to_thread(int) == 0
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
        assert names.asked == ["relay.test"]

    run()


def test_an_answer_that_comes_too_late_for_anybody_is_dropped(names: SlowNames) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await Resolver().look_up("a.test", 25)

    asyncio.run(give_up())
    names.go_on.set()


ENDS = """
import asyncio, importlib, socket, sys, threading
from datetime import timedelta
from support.mailing import FROM, send
from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender

socket.getaddrinfo = lambda *_, **__: threading.Event().wait()

async def main():
    soon = timedelta(milliseconds=1)
    async with SmtpSender(SmtpRelay("relay.test"), from_address=FROM, connect_timeout=soon) as m:
        try:
            await send(m)
        except Exception as error:
            print(error)

with asyncio.Runner(loop_factory=importlib.import_module(sys.argv[1]).new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_ends_though_a_look_up_does_not(loop: str) -> None:
    pytest.importorskip(loop)
    done = subprocess.run(
        [sys.executable, "-c", ENDS, loop],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "SMTP connect: timed out\n"
