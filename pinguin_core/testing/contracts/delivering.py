"""What `Sender` promises while its provider accepts what comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from pinguin_core.message import Message
from pinguin_core.notification import Receipt
from pinguin_core.ports import Sender
from pinguin_core.testing import awkward
from pinguin_core.testing.contracts.base import run, thoroughly
from pinguin_core.testing.contracts.provider import (
    Provider,
    ProviderContract,
    arrival,
    normal,
    private_words,
    with_provider,
)
from pinguin_core.testing.fakes import NOON
from pinguin_core.values import NotificationId

MANY: Final = 20
"""More than any sender has sessions."""

_LONG_LINE: Final = "longer than a line of SMTP may be " * 40


class Delivering(ProviderContract):
    """Tests of what arrives."""

    @with_provider
    async def test_a_message_arrives_once(self, sender: Sender[Any], provider: Provider) -> None:
        await send(sender, self.sample)
        arrives(provider, [self.sample])

    @with_provider
    async def test_one_message_after_another_arrives(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        messages = numbered(self.sample)
        for number, message in enumerate(messages):
            await send(sender, message, f"notif-{number}")
        arrives(provider, messages)

    @with_provider
    async def test_concurrent_messages_do_not_mix(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        messages = numbered(self.sample)
        receipts = await send_all(sender, messages)
        arrives(provider, messages)
        assert len({receipt.provider_message_id for receipt in receipts}) == MANY

    @with_provider
    async def test_awkward_texts_arrive_intact(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        texts = [*awkward.TEXTS, *awkward.LINES, _LONG_LINE]
        messages = [replace(self.sample, body=text) for text in texts]
        messages += [replace(self.sample, subject=text) for text in awkward.TEXTS]
        await send_all(sender, messages)
        arrives(provider, messages)

    @with_provider
    async def test_the_longest_message_arrives_whole(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        await send(sender, self.longest())
        [arrived] = provider.arrived
        same = arrival(self.longest()) == normal(arrived)  # comparing within assert prints both
        assert same

    @with_provider
    async def test_a_receipt_names_the_message(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        receipt = await send(sender, self.sample)
        assert isinstance(receipt, Receipt)
        assert receipt.provider_message_id.strip()
        arrives(provider, [self.sample])

    @with_provider
    async def test_a_receipt_says_nothing_private(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """In one line each, without recipient, subject or body: they are kept, shown and logged."""
        receipt = await send(sender, self.private)
        texts = [receipt.provider_message_id, receipt.code, receipt.reply]
        assert max(len(text.splitlines()) for text in texts) == 1
        for word in private_words(self.private):
            assert word not in " ".join(texts)
        arrives(provider, [self.private])

    def test_every_message_arrives_intact(self) -> None:
        @thoroughly(self)
        @given(messages=st.lists(self.messages(), min_size=1, max_size=4))
        def check(messages: list[Message]) -> None:
            run(_check_arrival(self, messages))

        check()


async def _check_arrival(contract: ProviderContract, messages: Sequence[Message]) -> None:
    async with contract.provider() as (sender, provider):
        await send_all(sender, messages)
        arrives(provider, messages)


async def send(sender: Sender[Any], message: Message, name: str = "notif-1") -> Receipt:
    """Send a message under a name."""
    return await sender.send(message, id=NotificationId(name), date=NOON)


async def send_all(sender: Sender[Any], messages: Sequence[Message]) -> list[Receipt]:
    """Send messages at the same time."""
    sends = [send(sender, message, f"notif-{at}") for at, message in enumerate(messages)]
    return await asyncio.gather(*sends)


def arrives(provider: Provider, messages: Sequence[Message]) -> None:
    """Assert that these messages have arrived, each of them once, and nothing besides."""
    assert Counter(map(arrival, messages)) == Counter(map(normal, provider.arrived))


def numbered(message: Message) -> list[Message]:
    """Make many of one, which differ in every line."""
    return [
        replace(message, body=f"{number} begins\n{number} goes on\n{number} ends")
        for number in range(MANY)
    ]
