"""Of two senders that can look a message up, those are asked that may have taken it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from support.dispatching import Scene
from support.samples import EMAIL, LEASE, queued
from support.settling import run, settled

from pinguin_core import (
    Attempt,
    DeliveryError,
    Email,
    FailoverSender,
    NotificationId,
    Outcome,
    ProviderMisconfigured,
    Receipt,
    Sender,
    Sent,
    TransientDeliveryError,
)
from pinguin_core.ports import IsTaken
from pinguin_core.testing.fakes import NOON, ManualClock, RecordingSender

ID = NotificationId("notif-1")
DOWN = TransientDeliveryError("connect: refused", of_provider=True)
LOST = TransientDeliveryError("end: lost", ambiguous=True, of_provider=True)
NO_LIST = TransientDeliveryError("no list", code="503", of_provider=True)
BAD_LOGIN = ProviderMisconfigured("AUTH: 535 no")


@dataclass
class Relay:
    """Fails as the test says, and finds what it says."""

    error: DeliveryError | None = None
    finds: Receipt | Exception | None = None
    sent: list[NotificationId] = field(default_factory=list)
    asked: list[Sequence[Attempt]] = field(default_factory=list)

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        self.sent.append(id)
        if self.error is not None:
            raise self.error
        return Receipt(f"<{id}>", "250", "queued")

    async def find_sent(
        self, message: Email, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        assert (message, id) == (EMAIL, ID)
        assert not await is_taken("any")
        self.asked.append(doubts)
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds


def doubt(text: str, outcome: Outcome = Outcome.UNCLEAR, number: int = 1) -> Attempt:
    return Attempt(number, NOON, NOON, outcome, text=text)


OF_THE_FIRST = doubt("end: lost")
OF_THE_FALLBACK = doubt("connect: refused; fallback: end: lost", number=2)
OF_EITHER = doubt("the worker stopped", Outcome.CRASHED)


def pair(primary: Sender[Email], fallback: Sender[Email]) -> FailoverSender[Email]:
    return FailoverSender(primary, fallback, clock=ManualClock())


async def find(sender: FailoverSender[Email], *doubts: Attempt) -> Receipt | None:
    async def no(_: str) -> bool:
        return False

    return await sender.find_sent(EMAIL, id=ID, doubts=doubts, is_taken=no)


def found(by: str) -> Receipt:
    return Receipt(by, "200", "sent before", found=True)


def test_what_the_first_lost_sight_of_is_not_sent_by_the_fallback() -> None:
    async def test() -> None:
        scene = Scene()
        primary, fallback = Relay(LOST, found("one")), Relay()
        sender = FailoverSender(primary, fallback, clock=scene.clock)
        await scene.store.add(queued())
        async with scene.dispatcher(sender):
            await settled()
            scene.clock.advance(LEASE)
            await settled()
        stored = await scene.stored()
        assert stored.state == Sent(NOON + LEASE, "one")
        assert not stored.possible_duplicate
        assert (len(primary.sent), len(fallback.sent)) == (1, 0)

    run(test())


def test_what_the_fallback_lost_sight_of_is_found_while_the_first_is_still_down() -> None:
    """The first did not take it, so it need not be asked: it could not tell."""

    async def test() -> None:
        scene = Scene()
        primary, fallback = Relay(DOWN, NO_LIST), Relay(LOST, found("two"))
        sender = FailoverSender(primary, fallback, clock=scene.clock)
        await scene.store.add(queued())
        async with scene.dispatcher(sender):
            await settled()
            scene.clock.advance(LEASE)
            await settled()
        stored = await scene.stored()
        assert stored.state == Sent(NOON + LEASE, "two")
        assert stored.history[-1].text == "fallback: sent before"
        assert primary.asked == []

    run(test())


@pytest.mark.parametrize("by_first", [True, False])
def test_what_either_may_have_is_looked_for_at_both(*, by_first: bool) -> None:
    async def test() -> None:
        ways = primary, fallback = Relay(), Relay()
        ways[not by_first].finds = found("one")
        receipt = await find(pair(primary, fallback), OF_EITHER, OF_THE_FALLBACK)
        assert receipt is not None
        assert receipt.found
        assert receipt.reply == ("sent before" if by_first else "fallback: sent before")
        assert primary.asked == [[OF_EITHER]]
        assert fallback.asked == [[OF_EITHER, OF_THE_FALLBACK]]

    run(test())


def test_what_nobody_has_is_sent_again() -> None:
    async def test() -> None:
        assert await find(pair(Relay(), Relay()), OF_THE_FIRST) is None

    run(test())


@pytest.mark.parametrize(
    "other", [Relay(finds=found("two")), Relay(finds=NO_LIST), RecordingSender[Email]()]
)
def test_it_was_sent_once_only_if_the_other_says_so_too(other: Sender[Email]) -> None:
    """Else the notification stays marked as a possible duplicate."""

    async def test() -> None:
        receipt = await find(pair(Relay(finds=found("one")), other), OF_EITHER)
        assert receipt == Receipt("one", "200", "sent before", found=False)

    run(test())


@pytest.mark.parametrize("by_first", [True, False])
def test_nothing_is_sent_while_one_that_may_have_it_cannot_tell(*, by_first: bool) -> None:
    """That does not stop the channel: what is not in doubt has another way."""

    async def test() -> None:
        ways = primary, fallback = Relay(), Relay()
        ways[not by_first].finds = NO_LIST
        with pytest.raises(TransientDeliveryError) as raised:
            await find(pair(primary, fallback), OF_EITHER)
        error = raised.value
        assert (error.ambiguous, error.of_provider, error.code) == (False, False, "503")
        assert error.reason == ("no list" if by_first else "fallback: no list")

    run(test())


def test_while_the_other_is_down_too_it_is_trouble_of_the_channel() -> None:
    """Then it is held, as it would be with one sender."""

    async def test() -> None:
        sender = pair(Relay(BAD_LOGIN, NO_LIST), Relay(BAD_LOGIN))
        with pytest.raises(DeliveryError):
            await sender.send(EMAIL, id=ID, date=NOON)
        with pytest.raises(TransientDeliveryError) as raised:
            await find(sender, OF_THE_FIRST)
        assert raised.value.of_provider

    run(test())


def test_one_that_cannot_look_is_not_asked() -> None:
    async def test() -> None:
        sender = pair(RecordingSender[Email](), RecordingSender[Email]())
        assert await find(sender, OF_EITHER) is None

    run(test())
