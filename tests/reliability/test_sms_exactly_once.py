"""Text messages that arrive once, though Twilio's answers get lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from reliability.figures import Note
from reliability.scale import chance, scale
from support.dispatching import Ends
from support.faulty_twilio import FaultyTwilio

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import (
    Dispatcher,
    ExponentialBackoff,
    Notification,
    NotificationRepository,
    NotificationService,
    PhoneNumber,
    Sender,
    Sent,
    Sms,
)
from pinguin_core.testing.fakes import MemoryRepository

MESSAGES: Final = scale(1_000, 20_000)
PATIENCE: Final = MESSAGES / 10  # seconds; far more than it takes
RECIPIENTS: Final = 50
MILLISECONDS: Final = timedelta(milliseconds=1)


class Forgetful:
    """Hands on what it is to send, and never looks whether it was sent before."""

    def __init__(self, sender: Sender[Sms]) -> None:
        self.send = sender.send


async def deliver(
    texts: list[str],
    luck: random.Random,
    store: NotificationRepository,
    *,
    services: int = 1,
    looking: bool = True,
) -> tuple[FaultyTwilio, list[Notification]]:
    """Send each text amid faults, and return what Twilio took and how each stands in the end."""
    ends = Ends(len(texts))
    async with FaultyTwilio(luck) as twilio, AsyncExitStack() as running:
        account = TwilioAccount("AC1", "made up", PhoneNumber("+15550100999"), twilio.base_url)
        for _ in range(services):
            sender = TwilioSender(account, settling=timedelta(0))
            await running.enter_async_context(sender)
            dispatcher = Dispatcher(
                store,
                sms=sender if looking else Forgetful(sender),
                policy=ExponentialBackoff(base=10 * MILLISECONDS, max_retries=100),
                probe_interval=10 * MILLISECONDS,
                poll_interval=10 * MILLISECONDS,
                observer=ends,
            )
            await running.enter_async_context(dispatcher)
        service = NotificationService(store)
        async with asyncio.timeout(PATIENCE):
            accepted = [
                await service.send(Sms(PhoneNumber(f"+155501001{at % RECIPIENTS:02}"), text))
                for at, text in enumerate(texts)
            ]
            await ends.all_ended.wait()
        return twilio, [await store.get(each.id) for each in accepted]


def test_each_arrives_exactly_once(tmp_path: Path, note: Note) -> None:
    """Though two services share the work."""
    texts = [f"Your code is {number}" for number in range(MESSAGES)]

    async def work() -> tuple[FaultyTwilio, list[Notification]]:
        async with SqlModelNotificationRepository.open(f"sqlite:///{tmp_path}/sms.db") as store:
            return await deliver(texts, chance("sms"), store, services=2)

    twilio, ended = asyncio.run(work())
    assert twilio.taken == Counter(texts), twilio.befell
    assert min(twilio.befell.values()) > 0
    assert {type(each.state) for each in ended} == {Sent}
    found = [each for each in ended if each.history[-1].text]
    assert found
    assert not [each.id for each in found if each.possible_duplicate]
    names = {each.state.provider_message_id for each in ended if isinstance(each.state, Sent)}
    assert len(names) == MESSAGES
    note(messages=MESSAGES, found_in_the_list=len(found))


def test_twins_arrive_as_often_as_they_were_sent(note: Note) -> None:
    """The same text to the same number again and again: none is swallowed by another one."""
    texts = ["The disk is full"] * (MESSAGES // 5)
    twilio, ended = asyncio.run(deliver(texts, chance("twins"), MemoryRepository()))
    assert twilio.taken == Counter(texts), twilio.befell
    assert {type(each.state) for each in ended} == {Sent}
    note(messages=len(texts))


def test_without_a_look_at_the_list_some_would_arrive_twice() -> None:
    texts = [f"Your code is {number}" for number in range(200)]
    twilio, _ = asyncio.run(deliver(texts, chance("forgetful"), MemoryRepository(), looking=False))
    assert max(twilio.taken.values()) > 1
