"""A second sender takes over what the first one's provider certainly did not take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dispatching import HeldSender, Scene
from support.samples import BUSY, EMAIL, LOST, REFUSED, FixedDelay, queued
from support.settling import run, settled

from pinguin_core import (
    DeliveryError,
    Email,
    FailoverSender,
    HeldForProvider,
    InvalidValue,
    NotificationId,
    PermanentDeliveryError,
    ProviderDown,
    ProviderMisconfigured,
    Receipt,
    Sender,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON, ManualClock

SECOND = timedelta(seconds=1)
INTERVAL = timedelta(seconds=30)
DOWN = TransientDeliveryError("connect: refused", code="421", of_provider=True)
BAD_LOGIN = ProviderMisconfigured("AUTH: 535 no", code="535")
UNCLEAR = TransientDeliveryError("end: lost", ambiguous=True, of_provider=True)
TOO_LARGE = PermanentDeliveryError("552 too large for us", code="552", elsewhere=True)
OUTCOMES = [None, DOWN, BAD_LOGIN, UNCLEAR, BUSY, REFUSED, LOST]


@dataclass
class Relay:
    """Takes what it is given, or fails as it is told."""

    clock: ManualClock
    error: DeliveryError | None = None
    tried: list[tuple[NotificationId, datetime]] = field(default_factory=list)
    took: list[NotificationId] = field(default_factory=list)

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        self.tried.append((id, self.clock.now()))
        if self.error is not None:
            raise self.error
        self.took.append(id)
        return Receipt(f"<{id}>", "250", "queued")


class Switch:
    """Another relay under the same name, whenever the test says so."""

    def __init__(self, relay: Relay) -> None:
        self.to: Sender[Email] = relay

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        return await self.to.send(message, id=id, date=date)


class Pair:
    """Two relays, the sender that uses them, and what it told."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.primary, self.fallback = Relay(self.clock), Relay(self.clock)
        self.turns: list[tuple[str, bool, str]] = []
        self.sender: FailoverSender[Email] = FailoverSender(
            switch := Switch(self.primary),
            self.fallback,
            clock=self.clock,
            probe_interval=INTERVAL,
            on_route=self.note,
        )

        self._switch = switch

    def use_as_primary(self, sender: Sender[Email]) -> None:
        self._switch.to = sender

    def note(self, route: str, *, is_up: bool, reason: str) -> None:
        self.turns.append((route, is_up, reason))

    async def send(self, name: str = "notif-1") -> Receipt:
        return await self.sender.send(EMAIL, id=NotificationId(name), date=NOON)

    async def error(self, name: str = "notif-1") -> Any:
        with pytest.raises(DeliveryError) as raised:
            await self.send(name)
        return raised.value

    async def send_many(self, count: int) -> list[Receipt]:
        return [await self.send(f"notif-{number}") for number in range(count)]


def test_while_the_first_is_up_the_fallback_is_left_alone() -> None:
    async def test() -> None:
        pair = Pair()
        assert await pair.send() == Receipt("<notif-1>", "250", "queued")
        assert (pair.fallback.tried, pair.turns) == ([], [])

    run(test())


def test_what_the_first_did_not_take_for_its_own_sake_goes_over_at_once() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error = DOWN
        receipt = await pair.send()
        assert receipt == Receipt(
            "<notif-1>", "250", "fallback: queued (primary: connect: refused)"
        )
        assert len(pair.fallback.took) == 1
        assert pair.turns == []

    run(test())


def test_a_first_that_is_down_is_only_probed_until_it_is_back() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error = DOWN
        receipts = await pair.send_many(20)
        assert len(pair.primary.tried) == 5
        assert receipts[-1].reply == "fallback: queued"
        assert pair.turns == [("primary", False, DOWN.reason)]
        pair.clock.advance(INTERVAL)
        await pair.send_many(5)
        assert len(pair.primary.tried) == 6
        pair.primary.error = None
        pair.clock.advance(INTERVAL)
        await pair.send_many(5)
        assert len(pair.primary.took) == 5
        assert len(pair.fallback.took) == 25
        assert pair.turns[1:] == [("primary", True, "")]

    run(test())


def test_while_one_probe_is_under_way_the_others_take_the_fallback() -> None:
    async def test() -> None:
        clock = ManualClock()
        primary, fallback = Relay(clock, BAD_LOGIN), Relay(clock)
        hanging = HeldSender[Email]()
        turns = iter([primary.send, hanging.send])

        class Turning:
            async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
                return await next(turns)(message, id=id, date=date)

        sender = FailoverSender(Turning(), fallback, clock=clock, probe_interval=INTERVAL)
        await sender.send(EMAIL, id=NotificationId("notif-1"), date=NOON)
        clock.advance(INTERVAL)
        probe = asyncio.create_task(sender.send(EMAIL, id=NotificationId("notif-2"), date=NOON))
        await hanging.began.wait()
        await sender.send(EMAIL, id=NotificationId("notif-3"), date=NOON)
        hanging.let_go()
        assert (await probe).provider_message_id == "held-notif-2"
        assert fallback.took == [NotificationId("notif-1"), NotificationId("notif-3")]

    run(test())


def test_a_first_that_is_back_is_eased_in() -> None:
    """One at a time at first, and one more for each success; the rest goes the other way."""

    async def test() -> None:
        pair, held = Pair(), HeldSender[Email]()
        pair.primary.error = BAD_LOGIN
        await pair.send()
        pair.primary.error = None
        pair.clock.advance(INTERVAL)
        await pair.send()
        began = []
        for _ in range(3):
            held = HeldSender[Email]()
            pair.use_as_primary(held)
            sending = [asyncio.create_task(pair.send(f"notif-{n}")) for n in range(5)]
            await settled()
            began.append(len(held.begun))
            held.let_go()
            await asyncio.gather(*sending)
        assert began == [1, 2, 4]

    run(test())


def test_while_the_fallback_is_down_a_first_that_is_back_gets_all() -> None:
    async def test() -> None:
        pair, held = Pair(), HeldSender[Email]()
        pair.primary.error = pair.fallback.error = BAD_LOGIN
        with pytest.raises(ProviderDown):
            await pair.send()
        pair.primary.error = None
        pair.clock.advance(INTERVAL)
        await pair.send()
        pair.use_as_primary(held)
        sending = [asyncio.create_task(pair.send(f"notif-{n}")) for n in range(5)]
        await settled()
        assert len(held.begun) == 5
        held.let_go()
        await asyncio.gather(*sending)

    run(test())


def test_a_first_that_needs_an_operator_is_left_at_once_and_loudly() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error = BAD_LOGIN
        await pair.send_many(3)
        assert len(pair.primary.tried) == 1
        assert len(pair.fallback.took) == 3
        assert pair.turns == [("primary", False, BAD_LOGIN.reason)]

    run(test())


@pytest.mark.parametrize("error", [REFUSED, BUSY, LOST])
def test_what_is_about_the_message_goes_to_nobody_else(error: DeliveryError) -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error = error
        raised = await pair.error()
        assert (type(raised), raised.reason, raised.code) == (type(error), error.reason, error.code)
        assert pair.fallback.tried == []

    run(test())


def test_what_the_first_may_have_taken_is_not_sent_again_in_the_same_attempt() -> None:
    """Nor does it count as trouble of the whole channel, as long as there is another way."""

    async def test() -> None:
        pair = Pair()
        pair.primary.error = UNCLEAR
        errors = [await pair.error(f"notif-{number}") for number in range(5)]
        assert {(each.ambiguous, each.of_provider) for each in errors} == {(True, False)}
        assert pair.fallback.tried == []
        assert pair.turns == [("primary", False, UNCLEAR.reason)]
        await pair.send("notif-1")
        assert pair.fallback.took == [NotificationId("notif-1")]

    run(test())


def test_what_the_last_one_may_have_taken_is_told_for_what_it_is() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error, pair.fallback.error = DOWN, UNCLEAR
        hiccup = await pair.error()
        assert (hiccup.ambiguous, hiccup.of_provider) == (True, False)
        assert hiccup.reason == "connect: refused; fallback: end: lost"
        pair.primary.error = BAD_LOGIN
        outage = await pair.error()
        assert (outage.ambiguous, outage.of_provider) == (True, True)

    run(test())


def test_a_refusal_by_the_fallback_is_final() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error, pair.fallback.error = DOWN, REFUSED
        raised = await pair.error()
        assert isinstance(raised, PermanentDeliveryError)
        assert raised.reason == "connect: refused; fallback: 550 no such user"
        assert raised.code == REFUSED.code

    run(test())


def test_what_only_the_fallback_cannot_take_waits_for_the_first() -> None:
    """Others go on: it is no outage of the channel."""

    async def test() -> None:
        pair = Pair()
        pair.primary.error, pair.fallback.error = DOWN, TOO_LARGE
        stumbled = await pair.error()
        assert isinstance(stumbled, TransientDeliveryError)
        assert (stumbled.reason, stumbled.of_provider) == (
            f"{DOWN.reason}; fallback: {TOO_LARGE.reason}",
            False,
        )
        pair.primary.error = BAD_LOGIN
        held = await pair.error()
        assert isinstance(held, HeldForProvider)
        assert (held.retry_after, held.of_provider) == (INTERVAL, False)
        pair.primary.error = None
        pair.clock.advance(INTERVAL)
        await pair.send()
        assert len(pair.primary.took) == 1

    run(test())


def test_what_the_first_cannot_take_itself_fails() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error = TOO_LARGE
        assert await pair.error() is not None
        assert isinstance(await pair.error(), PermanentDeliveryError)
        assert pair.fallback.tried == []

    run(test())


def test_what_the_fallback_cannot_take_is_held_for_as_long_as_it_takes() -> None:
    async def test() -> None:
        scene = Scene()
        pair = Pair(scene.clock)
        pair.primary.error, pair.fallback.error = BAD_LOGIN, TOO_LARGE
        await scene.store.add(queued("notif-1"))
        async with scene.dispatcher(pair.sender, policy=FixedDelay(SECOND)):
            for _ in range(600):
                await settled()
                scene.clock.advance(SECOND)
            assert 0 < len(pair.primary.tried) <= 21
            assert len(pair.fallback.tried) <= 21
            assert await scene.state_of() == "Queued"
            pair.fallback.error = None
            await scene.store.add(queued("notif-2"))
            for _ in range(60):
                scene.clock.advance(SECOND)
                await settled()
        assert sorted(map(str, pair.fallback.took)) == ["notif-1", "notif-2"]
        assert scene.observer.providers == []

    run(test())


def test_a_fallback_that_needs_an_operator_does_not_stop_a_first_that_only_stumbles() -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error, pair.fallback.error = DOWN, BAD_LOGIN
        stumbled = await pair.error()
        assert not isinstance(stumbled, ProviderMisconfigured)
        assert (stumbled.code, stumbled.of_provider) == (DOWN.code, True)
        assert pair.turns == [("fallback", False, BAD_LOGIN.reason)]
        again = await pair.error()
        assert again.reason == DOWN.reason
        assert len(pair.fallback.tried) == 1

    run(test())


@pytest.mark.parametrize("trouble", [DOWN, BAD_LOGIN])
def test_what_the_fallback_fails_to_take_while_the_first_is_down_is_held(
    trouble: TransientDeliveryError,
) -> None:
    async def test() -> None:
        pair = Pair()
        pair.primary.error, pair.fallback.error = BAD_LOGIN, trouble
        raised = await pair.error()
        assert isinstance(raised, ProviderDown)
        assert (raised.reason, raised.code) == (
            f"AUTH: 535 no; fallback: {trouble.reason}",
            trouble.code,
        )
        pair.clock.advance(SECOND)
        again = await pair.error()
        assert isinstance(again, ProviderDown)
        assert len(pair.primary.tried) == 1
        if trouble is BAD_LOGIN:
            assert again.reason == "both providers are considered down"
            assert again.retry_after == INTERVAL - SECOND
            assert len(pair.fallback.tried) == 1

    run(test())


def test_one_message_outlives_any_outage_of_both_once_the_first_is_known_to_be_down() -> None:
    """Though there are no retries, and too few messages for the lane to notice by itself."""

    async def test() -> None:
        scene = Scene()
        pair = Pair(scene.clock)
        pair.primary.error, pair.fallback.error = BAD_LOGIN, DOWN
        await scene.store.add(queued())
        async with scene.dispatcher(pair.sender, policy=FixedDelay(None)):
            for _ in range(600):
                await settled()
                scene.clock.advance(SECOND)
            assert await scene.state_of() == "Queued"
            assert 0 < len(pair.primary.tried) <= 21
            pair.fallback.error = None
            scene.clock.advance(INTERVAL)
            await settled()
        assert await scene.state_of() == "Sent"

    run(test())


def test_when_both_are_down_the_dispatcher_holds_all_and_nothing_fails() -> None:
    async def test() -> None:
        scene = Scene()
        pair = Pair(scene.clock)
        pair.primary.error = pair.fallback.error = DOWN
        names = [f"notif-{number:03}" for number in range(100)]
        for name in names:
            await scene.store.add(queued(name))
        async with scene.dispatcher(pair.sender, policy=FixedDelay(SECOND)):
            for _ in range(600):
                await settled()
                scene.clock.advance(SECOND)
            for relay in (pair.primary, pair.fallback):
                probes = [at for _, at in relay.tried if at > NOON + SECOND]
                assert 0 < len(probes) <= 20
                assert all(b - a >= INTERVAL for a, b in pairwise(probes))
            pair.fallback.error = None
            for _ in range(60):
                scene.clock.advance(SECOND)
                await settled()
        assert sorted(map(str, pair.fallback.took)) == names
        assert "Failed" not in scene.observer.states

    run(test())


def test_one_that_takes_mail_and_then_hangs_leaves_the_other_in_use() -> None:
    """Its ambiguous outcomes are not taken for an outage of the channel."""

    async def test() -> None:
        scene = Scene()
        pair = Pair(scene.clock)
        pair.primary.error = UNCLEAR
        names = [f"notif-{number:03}" for number in range(100)]
        for name in names:
            await scene.store.add(queued(name))
        async with scene.dispatcher(pair.sender, policy=FixedDelay(SECOND)):
            for _ in range(5):
                await settled()
                scene.clock.advance(SECOND)
        assert sorted(map(str, pair.fallback.took)) == names
        assert scene.observer.providers == []

    run(test())


def test_a_bug_in_whoever_is_told_loses_no_message() -> None:
    async def test() -> None:
        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        bugs: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
        clock = ManualClock()
        primary, fallback = Relay(clock, BAD_LOGIN), Relay(clock)
        sender = FailoverSender(primary, fallback, clock=clock, on_route=broken)
        await sender.send(EMAIL, id=NotificationId("notif-1"), date=NOON)
        assert len(fallback.took) == len(bugs) == 1

    run(test())


def test_probes_need_time_between_them() -> None:
    relay = Relay(ManualClock())
    with pytest.raises(InvalidValue, match="probe_interval"):
        FailoverSender(relay, relay, probe_interval=timedelta(0))


@given(
    st.lists(
        st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES), st.integers(0, 40)),
        max_size=40,
    )
)
def test_whatever_the_two_do(story: list[tuple[Any, Any, int]]) -> None:
    """No message is given to both unless the first certainly lacks it, and no outcome is lost."""

    async def test() -> None:
        pair = Pair()
        for number, (first, second, seconds) in enumerate(story):
            pair.primary.error, pair.fallback.error = first, second
            name = NotificationId(f"notif-{number}")
            pair.clock.advance(seconds * SECOND)
            raised: Any = None
            try:
                await pair.send(str(name))
            except DeliveryError as error:
                raised = error
            tried = [
                relay.error
                for relay in (pair.primary, pair.fallback)
                if name in {each for each, _ in relay.tried}
            ]
            assert all(error in {DOWN, BAD_LOGIN} for error in tried[:-1])
            last = tried[-1] if tried else DOWN
            assert (raised is None) == (last is None)
            if raised is not None:
                assert isinstance(raised, PermanentDeliveryError) == (last is REFUSED)
                assert getattr(raised, "ambiguous", False) == (last in {UNCLEAR, LOST})
        for route, relay in (("primary", pair.primary), ("fallback", pair.fallback)):
            turns = [is_up for name, is_up, _ in pair.turns if name == route]
            assert turns == [bool(number % 2) for number in range(len(turns))]
            assert len(relay.tried) == len(set(relay.tried))

    run(test())
