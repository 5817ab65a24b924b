"""E-mails through a relay at its worst: none is lost, and each copy too many was announced."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from reliability.figures import Note
from reliability.scale import chance, scale
from support.dispatching import Ends
from support.faulty_smtp import ALL_FAULTS, FaultySmtp
from support.mailing import EMAIL, sender_to

from pinguin_core import (
    Dispatcher,
    Email,
    ExponentialBackoff,
    Notification,
    NotificationId,
    NotificationService,
    Outcome,
    Receipt,
    Sender,
    Sent,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import MemoryRepository

ROUNDS: Final = scale(1, 20)
MESSAGES: Final = 1_000
PATIENCE: Final = MESSAGES / 10  # seconds; far more than it takes
MILLISECONDS: Final = timedelta(milliseconds=1)


class Overconfident:
    """Takes what is unclear for what has surely not arrived."""

    def __init__(self, sender: Sender[Email]) -> None:
        self._sender = sender

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await self._sender.send(message, id=id, date=date)
        except TransientDeliveryError as error:
            error.ambiguous = False
            raise


async def deliver(
    luck: random.Random, *, overconfident: bool = False
) -> tuple[FaultySmtp, list[Notification]]:
    """Send them amid faults, and return what the relay took and how each stands in the end."""
    ends = Ends(MESSAGES)
    store = MemoryRepository()
    async with FaultySmtp(luck) as relay, sender_to(relay) as sender:
        dispatcher = Dispatcher(
            store,
            email=Overconfident(sender) if overconfident else sender,
            policy=ExponentialBackoff(base=MILLISECONDS, cap=10 * MILLISECONDS, max_retries=100),
            probe_interval=MILLISECONDS,
            observer=ends,
        )
        service = NotificationService(store, on_queued=dispatcher.wake)
        async with asyncio.timeout(PATIENCE), dispatcher:
            accepted = [await service.send(EMAIL) for _ in range(MESSAGES)]
            await ends.all_ended.wait()
    return relay, [await store.get(each.id) for each in accepted]


def complaints(relay: FaultySmtp, ended: list[Notification]) -> Iterator[str]:
    """Say what is wrong, comparing what the relay counted with what the store says."""
    names = set()
    for each in ended:
        if not isinstance(each.state, Sent):
            yield f"{each.id} is {each.state}"
            continue
        name = each.state.provider_message_id
        names.add(name)
        copies = relay.taken[name]
        unclear = sum(attempt.outcome is Outcome.UNCLEAR for attempt in each.history)
        if not 1 <= copies <= 1 + unclear:
            yield f"{each.id} arrived {copies} times, {unclear} of its attempts were unclear"
        if each.possible_duplicate != (unclear > 0):
            yield f"{each.id} is marked {each.possible_duplicate}, {unclear} were unclear"
    if strange := relay.taken.keys() - names:
        yield f"nobody sent {strange}"


def test_none_is_lost_and_each_copy_too_many_was_announced(note: Note) -> None:
    luck = chance("smtp")
    for _ in range(ROUNDS):
        relay, ended = asyncio.run(deliver(luck))
        assert not list(complaints(relay, ended)), relay.befell
        assert len(relay.befell) == ALL_FAULTS + 1
        assert max(relay.taken.values()) > 1
        assert relay.refused > 0
        note(messages=len(ended), copies_too_many=sum(relay.taken.values()) - len(ended))


def test_a_sender_that_hides_its_doubts_is_found_out() -> None:
    relay, ended = asyncio.run(deliver(chance("overconfident"), overconfident=True))
    assert list(complaints(relay, ended))
