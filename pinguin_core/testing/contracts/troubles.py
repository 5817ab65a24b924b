"""What `Sender` promises while its provider does not do what it is there for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest

from pinguin_core.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from pinguin_core.ports import Sender
from pinguin_core.testing.contracts.delivering import MANY, arrives, send
from pinguin_core.testing.contracts.provider import (
    TROUBLES,
    Behaviour,
    Provider,
    ProviderContract,
    private_words,
    with_provider,
)

_LIMIT: Final = 15.0  # seconds; by when a sender must have given up by itself, even if it waits
_TURNS: Final = [1, 2, 3, 5, 8, 13, 21, 34, 55]  # of the event loop; how far a send has got


class Troubles(ProviderContract):
    """Tests of what becomes of a message that cannot be delivered, and of those after it."""

    @with_provider
    async def test_a_refusal_is_permanent(self, sender: Sender[Any], provider: Provider) -> None:
        await provider.behave(Behaviour.REFUSE)
        with pytest.raises(PermanentDeliveryError):
            await send(sender, self.sample)
        arrives(provider, [])

    @with_provider
    async def test_a_busy_provider_is_tried_again(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """And it is certain that it has not taken the message."""
        await provider.behave(Behaviour.BE_BUSY)
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender, self.sample)
        assert not caught.value.ambiguous
        assert (caught.value.retry_after or timedelta(0)) >= timedelta(0)
        arrives(provider, [])

    @with_provider
    async def test_a_lost_answer_leaves_a_doubt(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """The provider has the message; to send it again is not for the sender to decide."""
        await provider.behave(Behaviour.LOSE_ANSWERS)
        with pytest.raises(TransientDeliveryError) as caught:
            await asyncio.wait_for(send(sender, self.sample), _LIMIT)
        assert caught.value.ambiguous
        arrives(provider, [self.sample])

    @with_provider
    async def test_a_sender_gives_up_when_it_gets_no_answer(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """By itself, after its own time limit."""
        await provider.behave(Behaviour.HANG)
        with pytest.raises(TransientDeliveryError):
            await asyncio.wait_for(send(sender, self.sample), _LIMIT)

    @with_provider
    async def test_an_unreachable_provider_is_tried_again(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        await provider.behave(Behaviour.BE_UNREACHABLE)
        with pytest.raises(TransientDeliveryError):
            await asyncio.wait_for(send(sender, self.sample), _LIMIT)

    @with_provider
    async def test_a_sender_recovers_from_every_trouble(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """Also when more messages meet with it at once than there are sessions."""
        for times, trouble in enumerate(TROUBLES, start=1):
            await provider.behave(trouble)
            sends = [send(sender, self.sample, f"notif-{number}") for number in range(MANY)]
            outcomes = await asyncio.wait_for(_all_ended(*sends), _LIMIT)
            assert {True} == {isinstance(outcome, DeliveryError) for outcome in outcomes}
            await provider.behave(Behaviour.ACCEPT)
            await asyncio.wait_for(send(sender, self.sample), _LIMIT)
            arrives(provider, [self.sample] * times)

    @with_provider
    async def test_an_error_says_what_happened_and_nothing_private(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """In one line, without recipient, subject or body: it is kept, shown and logged."""
        for trouble in TROUBLES:
            await provider.behave(trouble)
            with pytest.raises(DeliveryError) as caught:
                await asyncio.wait_for(send(sender, self.private), _LIMIT)
            error = caught.value
            assert len(error.reason.splitlines()) == 1
            assert len(error.code.splitlines()) <= 1
            told = f"{error.reason} {error.code} {error!s} {error!r}"
            for word in private_words(self.private):
                assert word not in told

    @with_provider
    async def test_a_cancelled_send_ends_at_once(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """It does not wait for the provider, and its cancellation is not swallowed."""
        await provider.behave(Behaviour.HANG)
        for turns in _TURNS:
            sending = await _under_way(sender, self, turns)
            if not sending.done():
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(asyncio.shield(sending), _LIMIT)

    @with_provider
    async def test_cancelling_leaves_the_sender_usable(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        """However far the cancelled ones had got, and however many they were."""
        await provider.behave(Behaviour.HANG)
        for turns in _TURNS:
            await _cancel(*[await _under_way(sender, self, turns) for _ in range(MANY // 4)])
        await provider.behave(Behaviour.ACCEPT)
        await asyncio.wait_for(send(sender, self.private), _LIMIT)
        arrives(provider, [self.private])

    @with_provider
    async def test_what_follows_a_cancelled_send_is_not_mixed_with_it(
        self, sender: Sender[Any], provider: Provider
    ) -> None:
        for times, turns in enumerate(_TURNS, start=1):
            await _cancel(await _under_way(sender, self, turns))
            await asyncio.wait_for(send(sender, self.private), _LIMIT)
            arrived = [each for each in provider.arrived if each.body.startswith(self.private.body)]
            assert times == len(arrived)


async def _all_ended(*sends: Any) -> list[Any]:
    return await asyncio.gather(*sends, return_exceptions=True)


async def _under_way(
    sender: Sender[Any], contract: ProviderContract, turns: int
) -> asyncio.Task[Any]:
    """Begin to send, and let the event loop turn some times."""
    sending = asyncio.create_task(send(sender, contract.sample))
    for _ in range(turns):
        await asyncio.sleep(0)
    return sending


async def _cancel(*sends: asyncio.Task[Any]) -> None:
    for sending in sends:
        sending.cancel()
    for sending in sends:
        with suppress(asyncio.CancelledError, DeliveryError):
            await asyncio.wait_for(sending, _LIMIT)
