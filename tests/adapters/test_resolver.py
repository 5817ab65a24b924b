"""Looking names up: whoever waits for one that hangs, nobody else does."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.mailing import FROM, send
from support.patience import patient
from support.scripted_twilio import SID, always
from support.waiting import in_time

from pinguin_adapters.resolver import Address, Resolver
from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_adapters.twilio_sender.names import Names
from pinguin_core import NotificationId, PhoneNumber, Sms
from pinguin_core.testing.fakes import NOON

TEXT = Sms(PhoneNumber("+15550100123"), "Hello")

HERE: Address = (
    socket.AF_INET,
    socket.SOCK_STREAM,
    socket.IPPROTO_TCP,
    "",
    ("192.0.2.1", 25),
)


def twilio_at(base_url: str) -> TwilioAccount:
    return TwilioAccount("AC123", "made up", PhoneNumber("+15550100999"), base_url)


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


@patient
async def test_twilio_s_name_is_found_though_all_threads_of_the_event_loop_are_taken() -> None:
    """As by look-ups of something else that hang."""
    go_on, loop = Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    taken = loop.run_in_executor(None, go_on.wait)
    try:
        async with always(201, {"sid": SID}) as twilio:
            account = twilio_at(twilio.base_url.replace("127.0.0.1", "localhost"))
            async with TwilioSender(account) as sender:
                sent = await sender.send(TEXT, id=NotificationId("notif-1"), date=NOON)
    finally:
        go_on.set()
        await taken
    assert sent.provider_message_id == SID


def test_twilio_s_name_that_hangs_holds_nothing_else_up(names: SlowNames) -> None:
    @patient
    async def run() -> None:
        names.loop = asyncio.get_running_loop()
        async with TwilioSender(twilio_at("http://api.test")) as sender:
            notif = NotificationId("notif-1")
            waiting = [
                asyncio.create_task(sender.send(TEXT, id=notif, date=NOON)) for _ in range(16)
            ]
            await begun(*waiting)
            await in_time(names.hangs, "a look-up")
            assert await asyncio.to_thread(int) == 0
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
        assert names.asked == ["api.test"]

    run()


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", "no-such-host.invalid"])
@patient
async def test_what_cannot_be_a_name_has_no_address(name: str) -> None:
    with pytest.raises(socket.gaierror):
        await Names().resolve(name, 443)


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
from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import Email, EmailAddress, NotificationId, PhoneNumber, Sms
from pinguin_core.testing.fakes import NOON

soon = timedelta(milliseconds=1)
ada = EmailAddress("ada@example.com")
number = PhoneNumber("+15550100123")

def mail():
    relay = SmtpRelay("relay.test")
    return SmtpSender(relay, from_address=ada, connect_timeout=soon), Email(ada, "Hi", "Hello")

def text():
    account = TwilioAccount("AC1", "made up", number, "http://api.test")
    return TwilioSender(account, connect_timeout=soon), Sms(number, "Hello")

socket.getaddrinfo = lambda *_, **__: threading.Event().wait()

async def main():
    sender, message = globals()[sys.argv[2]]()
    async with sender:
        try:
            await sender.send(message, id=NotificationId("notif-1"), date=NOON)
        except Exception as error:
            print(error)

with asyncio.Runner(loop_factory=importlib.import_module(sys.argv[1]).new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("mail", "SMTP connect: timed out\n"),
        ("text", "Twilio: cannot connect: timed out\n"),
    ],
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_ends_though_a_look_up_does_not(loop: str, kind: str, said: str) -> None:
    pytest.importorskip(loop)
    done = subprocess.run(
        [sys.executable, "-c", ENDS, loop, kind],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == said
