"""A relay that bears fewer sessions than we would like gets every message all the same."""

from __future__ import annotations

import asyncio
import email
from datetime import timedelta

import pytest
from support.dispatching import NotingObserver
from support.limited_smtp import LimitedSmtp
from support.mailing import EMAIL, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import ScriptedSmtp

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_adapters.smtp_sender.session_limit import SessionLimit
from pinguin_core import (
    Dispatcher,
    ExponentialBackoff,
    Notification,
    NotificationService,
    Receipt,
    Sent,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import MemoryRepository

SECOND = timedelta(seconds=1)
AT_ANY_VERB = pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "END"])


class SentObserver(NotingObserver):
    """Lets a test wait for notifications to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self._sent = asyncio.Semaphore(0)

    def on_change(self, notification: Notification) -> None:
        super().on_change(notification)
        if isinstance(notification.state, Sent):
            self._sent.release()

    async def sent(self, count: int) -> None:
        """Wait until so many more have been sent."""
        for _ in range(count):
            await self._sent.acquire()


async def send_many(sender: SmtpSender, numbers: range) -> list[Receipt]:
    return await asyncio.gather(*(send(sender, name=f"notif-{number}") for number in numbers))


def arrived(server: ScriptedSmtp) -> list[str]:
    return sorted(email.message_from_bytes(it.content)["Message-ID"] for it in server.messages)


@pytest.mark.parametrize("per_session", [1, 2, 100])
@pytest.mark.parametrize("bears", [1, 3, 15])
@patient
async def test_what_is_too_many_is_learned_without_a_failure(bears: int, per_session: int) -> None:
    async with (
        LimitedSmtp(most_sessions=bears) as relay,
        sender_to(relay, deliveries_per_session=per_session) as sender,
    ):
        receipts = await send_many(sender, range(40))
        refused = relay.refused
        assert refused == 16 - bears
        receipts += await send_many(sender, range(40, 80))
        assert relay.refused == refused
    assert arrived(relay) == sorted(receipt.provider_message_id for receipt in receipts)


@AT_ANY_VERB
@patient
async def test_a_new_session_that_is_refused_later_counts_too(verb: str) -> None:
    """Some relays say with a message only that one sends from too many places at once."""
    async with (
        LimitedSmtp(most_sessions=2, refuses_at=verb) as relay,
        sender_to(relay, max_sessions=5) as sender,
    ):
        receipts = await send_many(sender, range(20))
        assert relay.refused == 3
        receipts += await send_many(sender, range(20, 40))
    assert relay.refused == 3
    assert set(arrived(relay)) == {receipt.provider_message_id for receipt in receipts}


@AT_ANY_VERB
@patient
async def test_a_kept_session_that_is_refused_counts_too(verb: str) -> None:
    async with (
        LimitedSmtp(refuses_at=verb) as relay,
        sender_to(relay, max_sessions=5, idle_limit=60 * SECOND) as sender,
    ):
        receipts = await send_many(sender, range(20))
        assert relay.open_sessions == 5
        relay.bear_no_more_than(2)
        receipts += await send_many(sender, range(20, 60))
        assert relay.refused == 3
        assert relay.open_sessions == 2
    assert set(arrived(relay)) == {receipt.provider_message_id for receipt in receipts}


@patient
async def test_without_another_session_a_refusal_is_a_failure() -> None:
    """Of each message once: who has waited in vain for the others' sessions tries one, no more."""
    async with LimitedSmtp(most_sessions=0) as relay, sender_to(relay) as sender:
        results = await asyncio.gather(*(send(sender) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, TransientDeliveryError) for result in results)
    assert 20 <= relay.sessions <= 20 + 16


@patient
async def test_one_more_is_tried_now_and_then() -> None:
    async with LimitedSmtp(most_sessions=2) as relay, sender_to(relay) as sender:
        await send_many(sender, range(20))
        refused = relay.refused
        for pause in (5, 10, 20, 40):
            jump((pause - 0.5) * SECOND)
            await send_many(sender, range(20))
            assert relay.refused == refused
            jump(0.5 * SECOND)
            await send_many(sender, range(20))
            refused += 1
            assert relay.refused == refused


@patient
async def test_a_relay_that_bears_more_again_gets_more() -> None:
    relay = LimitedSmtp(most_sessions=2)
    async with relay, sender_to(relay, max_sessions=5, idle_limit=60 * SECOND) as sender:
        await send_many(sender, range(20))
        assert relay.open_sessions == 2
        relay.most_sessions = None
        for sessions in (3, 4, 5, 5):
            jump(5 * SECOND)
            await send_many(sender, range(20))
            assert relay.open_sessions == sessions


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"])
@patient
async def test_a_relay_that_refuses_each_third_session_gets_everything_once(verb: str) -> None:
    observer = SentObserver()
    store = MemoryRepository()
    async with (
        LimitedSmtp(refuses_each=3, refuses_at=verb, hangs_up=True) as relay,
        sender_to(relay, deliveries_per_session=2) as sender,
        Dispatcher(
            store,
            email=sender,
            observer=observer,
            policy=ExponentialBackoff(base=timedelta(milliseconds=1)),
            probe_interval=timedelta(milliseconds=1),
            concurrency=8,
        ) as dispatcher,
    ):
        service = NotificationService(store, on_queued=dispatcher.wake)
        for _ in range(3):
            for _ in range(50):
                await service.send(EMAIL)
            await observer.sent(50)
    sent_ids = [
        it.state.provider_message_id for it in observer.changes if isinstance(it.state, Sent)
    ]
    assert len(sent_ids) == 150
    assert arrived(relay) == sorted(sent_ids)
    assert relay.refused > 0
    assert not any(it.possible_duplicate for it in observer.changes)


def test_the_pause_doubles_with_each_refusal_up_to_ten_minutes() -> None:
    limit = SessionLimit(16)
    assert limit.admits(15, now=0)
    assert not limit.admits(16, now=0)
    limit.refused(4, now=0)
    now = 0.0
    for pause in (5, 10, 20, 40, 80, 160, 320, 600, 600):
        assert not limit.admits(4, now + pause - 0.01)
        now += pause
        assert limit.admits(4, now)
        assert not limit.admits(5, now)
        limit.refused(4, now)
    limit.admits(4, now + 600)
    limit.granted()
    assert not limit.admits(5, now + 1_199)
    assert limit.admits(5, now + 1_200)
    limit.refused(5, now + 1_200)
    assert limit.admits(5, now + 1_210)


def test_refusals_at_one_time_are_one_reason_to_pause() -> None:
    limit = SessionLimit(16)
    for others in (15, 14, 13, 12):
        limit.refused(others, now=1)
    assert limit.sessions == 12
    assert limit.admits(12, now=6)
