"""What is done about a doubt by a sender that can look up what its provider has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from support.dispatching import NotingObserver, Scene, TroubledRepository
from support.samples import BUSY, LEASE, LOST, queued
from support.settling import run, settled

from pinguin_core import (
    Attempt,
    Email,
    ExponentialBackoff,
    Failed,
    Notification,
    NotificationId,
    Outcome,
    Queued,
    Receipt,
    Sent,
    StoreUnavailable,
    attempt,
)
from pinguin_core.ports import IsTaken
from pinguin_core.testing.fakes import NOON, RecordingSender

FOUND = Receipt("found-1", "200", "sent before", found=True)


@dataclass
class FindingSender(RecordingSender[Email]):
    """Finds what the test says."""

    finds: Receipt | Exception | None = None
    never: bool = False
    asked: list[tuple[Email, Sequence[Attempt]]] = field(default_factory=list)
    taken: bool | None = None

    async def find_sent(
        self, message: Email, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        self.asked.append((message, doubts))
        self.taken = await is_taken("found-1")
        if isinstance(self.finds, Exception):
            raise self.finds
        if self.never:
            await asyncio.Event().wait()
        return self.finds


async def after_two_attempts(
    sender: FindingSender, first: Notification, store: TroubledRepository | None = None
) -> Notification:
    """Let the attempts be made that are due at noon and within a minute."""
    scene = Scene(store=store or TroubledRepository())
    await scene.store.add(first)
    async with scene.dispatcher(sender):
        await settled()
        scene.clock.advance(LEASE)
        await settled()
    return await scene.stored()


def test_what_is_found_is_not_sent_again() -> None:
    async def test() -> None:
        sender = FindingSender([LOST], finds=FOUND)
        stored = await after_two_attempts(sender, queued())
        assert stored.state == Sent(NOON + LEASE, "found-1")
        assert not stored.possible_duplicate
        assert len(sender.attempts) == 1
        ((message, doubts),) = sender.asked
        assert message == stored.message
        assert doubts == stored.history[:1]
        assert stored.history[1].text == "sent before"

    run(test())


def test_what_may_be_there_twice_stays_a_possible_duplicate() -> None:
    async def test() -> None:
        stored = await after_two_attempts(FindingSender([LOST], finds=Receipt("one")), queued())
        assert isinstance(stored.state, Sent)
        assert stored.possible_duplicate

    run(test())


def test_what_is_not_found_is_sent_again() -> None:
    async def test() -> None:
        sender = FindingSender([LOST])
        stored = await after_two_attempts(sender, queued())
        assert isinstance(stored.state, Sent)
        assert stored.possible_duplicate
        assert len(sender.attempts) == 2

    run(test())


def test_nothing_is_sent_while_nobody_can_tell() -> None:
    async def test() -> None:
        sender = FindingSender([LOST], finds=BUSY)
        stored = await after_two_attempts(sender, queued())
        assert len(sender.attempts) == 1
        assert [attempt.outcome for attempt in stored.history] == [Outcome.UNCLEAR, Outcome.FAILED]
        assert stored.last_error == BUSY.reason

    run(test())


def test_where_there_is_no_doubt_nobody_is_asked() -> None:
    async def test() -> None:
        sender = FindingSender([BUSY], finds=FOUND)
        stored = await after_two_attempts(sender, queued())
        assert isinstance(stored.state, Sent)
        assert sender.asked == []

    run(test())


GIVES_UP: Final[Sequence[Mapping[str, Any]]] = [
    {"policy": ExponentialBackoff(max_retries=0)},
    {"retry_ambiguous": False},
]


async def after_the_last_attempt(
    sender: FindingSender, options: Mapping[str, Any], observer: NotingObserver | None = None
) -> Notification:
    scene = Scene(observer=observer or NotingObserver())
    await scene.store.add(queued())
    async with scene.dispatcher(sender, **options):
        await settled()
        scene.clock.advance(timedelta(days=1))
        await settled()
    return await scene.stored()


@pytest.mark.parametrize("options", GIVES_UP)
def test_what_is_not_tried_again_is_looked_for_before_it_fails(options: Mapping[str, Any]) -> None:
    async def test() -> None:
        sender = FindingSender([LOST], finds=FOUND)
        stored = await after_the_last_attempt(sender, options)
        assert stored.state == Sent(NOON, "found-1")
        assert not stored.possible_duplicate
        assert [(each.outcome, each.text) for each in stored.history] == [
            (Outcome.SENT, "sent before")
        ]
        ((_, (doubt,)),) = sender.asked
        assert (doubt.outcome, doubt.text) == (Outcome.UNCLEAR, LOST.reason)

    run(test())


@pytest.mark.parametrize("options", GIVES_UP)
@pytest.mark.parametrize("finds", [None, BUSY, ZeroDivisionError()])
def test_it_fails_marked_if_it_is_not_found_or_nobody_can_tell(
    options: Mapping[str, Any], finds: Exception | None
) -> None:
    async def test() -> None:
        sender, observer = FindingSender([LOST], finds=finds), NotingObserver()
        stored = await after_the_last_attempt(sender, options, observer)
        assert stored.state == Failed(NOON, LOST.reason)
        assert stored.possible_duplicate
        assert [each.outcome for each in stored.history] == [Outcome.UNCLEAR]
        assert len(sender.asked) == len(sender.attempts) == 1
        told = [type(error) for _, error in observer.troubles]
        assert told == ([ZeroDivisionError] if isinstance(finds, ZeroDivisionError) else [])

    run(test())


def test_a_look_that_has_no_end_adds_no_doubt() -> None:
    """Be it that it takes too long, or that the service stops: nothing was sent."""

    async def test() -> None:
        scene, sender = Scene(), FindingSender([LOST], never=True)
        await scene.store.add(queued())
        options = {"attempt_timeout": timedelta(milliseconds=20)}
        async with scene.dispatcher(sender, **options):
            await settled()
            scene.clock.advance(LEASE)
            while len((await scene.stored()).history) < 2:  # noqa: ASYNC110 (a real limit passes)
                await asyncio.sleep(0.001)
        late = (await scene.stored()).history[1]
        assert (late.outcome, late.text) == (
            Outcome.FAILED,
            "looking up an earlier attempt took too long",
        )
        scene.clock.advance(LEASE)
        async with scene.dispatcher(sender, drain_timeout=timedelta(0)):
            await settled()
        stopped = await scene.stored()
        assert (type(stopped.state), stopped.attempts) == (Queued, 2)
        assert len(stopped.history) == 2
        assert len(sender.attempts) == 1

    run(test())


def test_a_look_that_takes_too_long_is_given_up_while_the_lease_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        scene, sender = Scene(), FindingSender([LOST], never=True)
        await scene.store.add(queued())
        async with scene.dispatcher(
            sender, retry_ambiguous=False, attempt_timeout=timedelta(milliseconds=20)
        ):
            await settled()
        assert (await scene.stored()).state == Failed(NOON, LOST.reason)
        assert len(sender.asked) == 1
        assert scene.observer.troubles == []

    monkeypatch.setattr(attempt, "_STORING", attempt.MARGIN)  # so 20 ms are left for it
    run(test())


class Ledger(TroubledRepository):
    """Knows one name, or cannot be read."""

    known: str | None = "found-1"

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        assert since < NOON
        if self.known is None:
            raise StoreUnavailable("gone")
        return provider_message_id == self.known


@pytest.mark.parametrize(("known", "taken"), [("found-1", True), ("found-2", False)])
def test_a_sender_can_ask_the_store_what_others_have_sent(known: str, *, taken: bool) -> None:
    async def test() -> None:
        sender, ledger = FindingSender([LOST], finds=FOUND), Ledger()
        ledger.known = known
        await after_two_attempts(sender, queued(), ledger)
        assert sender.taken is taken

    run(test())


def test_nothing_is_sent_while_the_store_cannot_tell() -> None:
    async def test() -> None:
        sender, ledger = FindingSender([LOST], finds=FOUND), Ledger()
        ledger.known = None
        stored = await after_two_attempts(sender, queued(), ledger)
        assert [attempt.outcome for attempt in stored.history] == [Outcome.UNCLEAR, Outcome.FAILED]
        assert "cannot be checked now" in stored.last_error

    run(test())


@pytest.mark.parametrize("outcome", [Outcome.UNCLEAR, Outcome.CRASHED, Outcome.INTERRUPTED])
def test_a_crash_and_a_stop_leave_a_doubt_too(outcome: Outcome) -> None:
    assert Attempt(1, NOON, NOON, outcome).is_in_doubt


@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.FAILED, Outcome.REFUSED])
def test_an_answer_leaves_no_doubt(outcome: Outcome) -> None:
    assert not Attempt(1, NOON, NOON, outcome).is_in_doubt
