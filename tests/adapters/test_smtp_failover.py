"""Two relays on sockets: the second takes over what the first certainly did not take."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain

import pytest
from support.dispatching import NotingObserver
from support.mailing import EMAIL, send, sender_to
from support.patience import jump, patient
from support.samples import FixedDelay, queued
from support.scripted_smtp import AndHangUp, Answer, ScriptedSmtp, Silence
from support.smtp_provider import SmtpProvider

from pinguin_adapters.smtp_sender import TlsMode
from pinguin_core import (
    Channel,
    DeliveryError,
    Dispatcher,
    Email,
    EmailAddress,
    FailoverSender,
    Notification,
    NotificationId,
    Outcome,
    PermanentDeliveryError,
    Sending,
    TransientDeliveryError,
)
from pinguin_core.testing.contracts import Behaviour
from pinguin_core.testing.fakes import ManualClock, MemoryRepository

SECOND = timedelta(seconds=1)
INTERVAL = timedelta(seconds=30)


@dataclass
class Pair:
    """Two relays, and the sender that uses them."""

    primary: SmtpProvider
    fallback: SmtpProvider
    clock: ManualClock = field(default_factory=ManualClock)
    turns: list[tuple[str, bool, str]] = field(default_factory=list)

    def note(self, route: str, *, is_up: bool, reason: str) -> None:
        self.turns.append((route, is_up, reason))

    async def send_many(self, numbers: range) -> None:
        await asyncio.gather(*(send(self.sender, EMAIL, f"notif-{n}") for n in numbers))

    sender: FailoverSender[Email] = field(init=False)


@asynccontextmanager
async def pair(**options: object) -> AsyncIterator[Pair]:
    """Start both relays; the options are those of the sender to the first one."""
    async with (
        SmtpProvider() as primary,
        SmtpProvider() as fallback,
        sender_to(primary, **options) as first,
        sender_to(fallback) as second,
    ):
        both = Pair(primary, fallback)
        both.sender = FailoverSender(
            first, second, clock=both.clock, probe_interval=INTERVAL, on_route=both.note
        )
        yield both


def names(relay: ScriptedSmtp) -> list[str]:
    """The notifications that a relay took, by their Message-ID."""
    parsed = (email.message_from_bytes(each.content) for each in relay.messages)
    return [each["Message-ID"].removeprefix("<").partition("@")[0] for each in parsed]


def numbered(*numbers: range) -> list[str]:
    return sorted(f"notif-{number}" for number in chain(*numbers))


@patient
async def test_a_first_relay_that_is_down_from_the_start_costs_nothing_but_a_second_try() -> None:
    async with pair() as both:
        await both.primary.behave(Behaviour.BE_UNREACHABLE)
        receipt = await send(both.sender, EMAIL, "notif-0")
        await both.send_many(range(1, 20))
    assert receipt.provider_message_id == "<notif-0@mail.example.com>"
    assert (
        receipt.reply
        == "fallback: queued: RCPT TO:<•••> (primary: SMTP connect: Connection refused)"
    )
    assert sorted(names(both.fallback)) == numbered(range(20))
    assert both.turns == [("primary", False, "SMTP connect: Connection refused")]


@patient
async def test_a_first_relay_that_dies_is_replaced_and_used_again_when_it_is_back() -> None:
    async with pair() as both:
        await both.send_many(range(10))
        await both.primary.behave(Behaviour.BE_UNREACHABLE)
        await both.send_many(range(10, 20))
        await both.primary.behave(Behaviour.ACCEPT)
        await both.send_many(range(20, 30))
        both.clock.advance(INTERVAL)
        await send(both.sender, EMAIL, "notif-30")
        for number in range(31, 40):
            await send(both.sender, EMAIL, f"notif-{number}")
    assert sorted(names(both.primary)) == numbered(range(10), range(30, 40))
    assert sorted(names(both.fallback)) == numbered(range(10, 30))
    assert [turn[:2] for turn in both.turns] == [("primary", False), ("primary", True)]


class Hastening(NotingObserver):
    """Moves the clock on whenever nothing is under way, and tells when all have ended."""

    def __init__(self, clock: ManualClock, expected: int) -> None:
        super().__init__()
        self.done = asyncio.Event()
        self.probed_often = asyncio.Event()
        self._clock = clock
        self._left = expected
        self._under_way = self._probes = 0

    def on_change(self, notification: Notification) -> None:
        super().on_change(notification)
        if isinstance(notification.state, Sending):
            self._under_way += 1
            return
        self._under_way -= 1
        self._left -= notification.is_final
        if not self._left:
            self.done.set()
        elif not self._under_way:
            self._clock.advance(INTERVAL)
            self._probes += 1
            if self._probes > 10:
                self.probed_often.set()


async def store_of(numbers: range) -> MemoryRepository:
    store = MemoryRepository()
    for number in numbers:
        await store.add(queued(f"notif-{number}"))
    return store


@patient
async def test_a_first_relay_that_dies_amid_many_sessions_loses_nothing() -> None:
    """What it may have taken is sent a second time, and marked."""
    numbers = range(100)
    async with pair() as both:
        store = await store_of(numbers)
        observer = Hastening(both.clock, len(numbers))
        async with Dispatcher(
            store,
            email=both.sender,
            clock=both.clock,
            policy=FixedDelay(SECOND),
            observer=observer,
        ):
            for _ in range(20):
                await both.primary.reached("END")
            await both.primary.behave(Behaviour.BE_UNREACHABLE)
            await observer.done.wait()
        kept = [await store.get(NotificationId(f"notif-{number}")) for number in numbers]
    taken = names(both.primary) + names(both.fallback)
    assert set(taken) == set(numbered(numbers))
    twice = {name for name in taken if taken.count(name) > 1}
    assert twice <= {str(each.id) for each in kept if each.possible_duplicate}
    assert names(both.fallback)


@patient
async def test_when_both_are_down_all_is_held_until_one_is_back() -> None:
    numbers = range(50)
    async with pair() as both:
        for relay in (both.primary, both.fallback):
            await relay.behave(Behaviour.BE_UNREACHABLE)
        store = await store_of(numbers)
        observer = Hastening(both.clock, len(numbers))
        async with Dispatcher(
            store,
            email=both.sender,
            clock=both.clock,
            policy=FixedDelay(SECOND),
            observer=observer,
            probe_interval=INTERVAL,
        ):
            await observer.probed_often.wait()
            await both.fallback.behave(Behaviour.ACCEPT)
            await observer.done.wait()
        kept = [await store.get(NotificationId(f"notif-{number}")) for number in numbers]
    assert sorted(names(both.fallback)) == numbered(numbers)
    assert {each.history[-1].outcome for each in kept} == {Outcome.SENT}
    assert observer.providers[0][:2] == (Channel.EMAIL, False)
    assert observer.providers[-1][:2] == (Channel.EMAIL, True)


REFUSALS: list[tuple[str, Answer]] = [
    ("RCPT", "550 5.1.1 no such user"),
    ("RCPT", "450 4.2.1 mailbox busy"),
    ("DATA", "554 5.7.1 no"),
    ("END", "554 5.7.1 spam"),
    ("END", "451 4.7.1 later"),
]


@pytest.mark.parametrize(("verb", "answer"), REFUSALS)
@patient
async def test_what_the_relay_says_of_the_message_is_not_asked_elsewhere(
    verb: str, answer: Answer
) -> None:
    async with pair() as both:
        both.primary.script = {verb: [answer]}
        with pytest.raises(DeliveryError) as raised:
            await send(both.sender)
    permanent = str(answer).startswith("5")
    assert isinstance(raised.value, PermanentDeliveryError) == permanent
    assert both.fallback.sessions == 0


UNCLEAR: list[Answer] = [Silence.HANG_UP, AndHangUp("nonsense"), Silence.HANG]


@pytest.mark.parametrize("answer", UNCLEAR)
@patient
async def test_what_the_first_relay_may_have_taken_is_not_handed_to_the_second(
    answer: Answer,
) -> None:
    async with pair() as both:
        both.primary.script = {"END": [answer]}
        sending = asyncio.create_task(send(both.sender))
        await both.primary.reached("END")
        if answer is Silence.HANG:
            jump(INTERVAL)
        with pytest.raises(TransientDeliveryError) as raised:
            await sending
    assert raised.value.ambiguous
    assert not raised.value.of_provider
    assert both.fallback.sessions == 0


OF_THE_RELAY: list[tuple[str, Answer]] = [
    ("CONNECT", "421 4.3.2 too busy"),
    ("CONNECT", Silence.HANG_UP),
    ("EHLO", "554 5.3.2 closed"),
    ("AUTH", "454 4.7.0 later"),
    ("AUTH", "535 5.7.8 no such login"),
    ("MAIL", "421 4.7.0 too many"),
    ("MAIL", "550 5.7.1 not your domain"),
    ("RCPT", "421 4.3.2 going down"),
    ("DATA", Silence.HANG_UP),
    ("DATA", "454 4.7.0 throttled"),
]


@pytest.mark.parametrize(("verb", "answer"), OF_THE_RELAY)
@patient
async def test_what_a_relay_says_of_itself_or_of_us_sends_the_message_to_the_second(
    verb: str, answer: Answer
) -> None:
    async with pair(username="ada", password="pw") as both:
        both.primary.extensions = ("AUTH PLAIN",)
        both.primary.script = {verb: [answer]}
        receipt = await send(both.sender)
    assert names(both.fallback) == ["notif-1"]
    assert names(both.primary) == []
    assert receipt.reply.startswith("fallback: queued: RCPT TO:<•••> (primary: SMTP ")
    needs_an_operator = (verb == "AUTH" and "535" in str(answer)) or "550" in str(answer)
    assert [turn[:2] for turn in both.turns] == [("primary", False)] * needs_an_operator


@patient
async def test_a_first_relay_that_offers_no_encryption_is_replaced_and_told_of_loudly() -> None:
    async with pair(tls=TlsMode.STARTTLS) as both:
        await both.send_many(range(3))
    assert names(both.primary) == []
    assert len(names(both.fallback)) == 3
    ((route, is_up, reason),) = both.turns
    assert (route, is_up) == ("primary", False)
    assert "does not offer it" in reason


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("MAIL", "552 5.3.4 too large"),
        ("MAIL", "552 too large"),
        ("RCPT", "550 5.7.1 relaying denied"),
        ("END", "552 5.3.4 too large"),
    ],
)
@patient
async def test_what_a_second_relay_cannot_take_itself_is_not_refused_for_good(
    verb: str, answer: str
) -> None:
    async with pair() as both:
        await both.primary.behave(Behaviour.BE_UNREACHABLE)
        both.fallback.script[verb] = [answer]
        with pytest.raises(TransientDeliveryError, match=f"fallback: SMTP .*{answer[:3]}"):
            await send(both.sender)


@pytest.mark.parametrize(
    ("message", "extensions"),
    [(EMAIL, ("SIZE 100",)), (Email(EmailAddress("zoë@example.com"), "Hi", "Hello"), ())],
)
@patient
async def test_what_a_second_relay_is_not_even_offered_is_not_refused_for_good(
    message: Email, extensions: tuple[str, ...]
) -> None:
    async with pair() as both:
        await both.primary.behave(Behaviour.BE_UNREACHABLE)
        both.fallback.extensions = extensions
        with pytest.raises(TransientDeliveryError, match="fallback: SMTP MAIL"):
            await send(both.sender, message)
    assert "MAIL" not in both.fallback.verbs()


@pytest.mark.parametrize("answer", ["550 5.1.1 unknown", "554 no", "550 no"])
@patient
async def test_what_a_second_relay_says_of_the_recipient_is_final(answer: str) -> None:
    async with pair() as both:
        await both.primary.behave(Behaviour.BE_UNREACHABLE)
        both.fallback.script["RCPT"] = [answer]
        with pytest.raises(PermanentDeliveryError):
            await send(both.sender)
