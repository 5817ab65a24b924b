"""What `Reconciler` promises of messages whose delivery was left in doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from pinguin_core.errors import TransientDeliveryError
from pinguin_core.history import Attempt, Outcome
from pinguin_core.message import Message, Sms
from pinguin_core.notification import Receipt
from pinguin_core.testing.contracts.delivering import arrives, send
from pinguin_core.testing.contracts.provider import (
    Behaviour,
    Provider,
    ProviderContract,
    with_provider,
)
from pinguin_core.values import NotificationId, PhoneNumber

_ID: Final = NotificationId("notif-1")
_LIMIT: Final = 15.0  # seconds; by when a look-up must have ended by itself
_ELSEWHERE: Final = PhoneNumber("+15550100199")
_SILENT: Final = (Behaviour.BE_BUSY, Behaviour.HANG, Behaviour.BE_UNREACHABLE)


class Reconciling(ProviderContract):
    """Tests of what is found when the provider is asked what it has taken."""

    @with_provider
    async def test_what_was_taken_without_an_answer_is_found(
        self, sender: Any, provider: Provider
    ) -> None:
        doubt = await _lose(sender, provider, self.sample)
        found = await _find(sender, self.sample, doubt)
        assert isinstance(found, Receipt)
        assert found.provider_message_id.strip()
        assert found.found
        arrives(provider, [self.sample])

    @with_provider
    async def test_what_was_not_taken_is_not_found(self, sender: Any, provider: Provider) -> None:
        await provider.behave(Behaviour.BE_BUSY)
        with pytest.raises(TransientDeliveryError):
            await send(sender, self.sample)
        await provider.behave(Behaviour.ACCEPT)
        assert await _find(sender, self.sample, _now()) is None

    @with_provider
    async def test_other_messages_are_not_found(self, sender: Any, provider: Provider) -> None:
        doubt = await _lose(sender, provider, self.sample)
        other_text = replace(self.sample, body=f"{self.sample.body} again")
        other_recipient = Sms(_ELSEWHERE, self.sample.body)
        for other in (other_text, other_recipient):
            assert await _find(sender, other, doubt) is None

    @with_provider
    async def test_what_was_taken_at_another_time_is_not_found(
        self, sender: Any, provider: Provider
    ) -> None:
        doubt = await _lose(sender, provider, self.sample)
        hour = timedelta(hours=1)
        for by in (-hour, hour):
            then = replace(doubt, started_at=doubt.started_at + by, ended_at=doubt.ended_at + by)
            assert await asyncio.wait_for(_find(sender, self.sample, then), _LIMIT) is None

    @with_provider
    async def test_what_another_notification_was_told_of_is_not_found(
        self, sender: Any, provider: Provider
    ) -> None:
        """The same text may be sent to the same number twice on purpose."""
        began = _now()
        await send(sender, self.sample)
        doubt = replace(_now(), started_at=began.started_at)
        assert await _find(sender, self.sample, doubt, name="notif-2") is None
        arrives(provider, [self.sample])

    @with_provider
    async def test_it_is_found_again_for_the_same_notification(
        self, sender: Any, provider: Provider
    ) -> None:
        """Its worker may have died, or been stopped, before it could store what was found."""
        doubt = await _lose(sender, provider, self.sample)
        found = [await _find(sender, self.sample, doubt) for _ in range(2)]
        assert found[0] is not None
        assert found[0] == found[1]

    @with_provider
    async def test_what_the_store_says_is_taken_is_not_found(
        self, sender: Any, provider: Provider
    ) -> None:
        """By another process's notification, perhaps."""
        doubt = await _lose(sender, provider, self.sample)
        asked: list[str] = []

        async def every_one(provider_message_id: str) -> bool:
            asked.append(provider_message_id)
            return True

        assert (
            await sender.find_sent(self.sample, id=_ID, doubts=[doubt], is_taken=every_one) is None
        )
        found = await _find(sender, self.sample, doubt)
        assert found is not None
        assert found.provider_message_id in asked

    @with_provider
    async def test_each_is_found_once(self, sender: Any, provider: Provider) -> None:
        """Of three in doubt, of which two were taken, two are found."""
        doubts = [await _lose(sender, provider, self.sample) for _ in range(2)]
        names = ["notif-1", "notif-2", "notif-3"]
        found = [await _find(sender, self.sample, *doubts, name=name) for name in names]
        taken = {each.provider_message_id for each in found if each is not None}
        assert len(taken) == 2  # noqa: PLR2004 (as many as were taken)
        assert found[2] is None

    @with_provider
    async def test_it_is_said_when_nobody_can_tell(self, sender: Any, provider: Provider) -> None:
        """Rather than guessed; and without a word that is private."""
        doubt = await _lose(sender, provider, self.private)
        for trouble in _SILENT:
            await provider.behave(trouble)
            with pytest.raises(TransientDeliveryError) as caught:
                await asyncio.wait_for(_find(sender, self.private, doubt), _LIMIT)
            told = f"{caught.value.reason} {caught.value!s} {caught.value!r}"
            assert str(self.private.to) not in told
            assert not [word for word in self.private.body.split() if word in told]
        await provider.behave(Behaviour.ACCEPT)
        assert await _find(sender, self.private, doubt) is not None


async def _lose(sender: Any, provider: Provider, message: Message) -> Attempt:
    """Have a message taken without an answer, and return the attempt."""
    await provider.behave(Behaviour.LOSE_ANSWERS)
    began = _now()
    with pytest.raises(TransientDeliveryError) as caught:
        await asyncio.wait_for(send(sender, message), _LIMIT)
    assert caught.value.ambiguous
    await provider.behave(Behaviour.ACCEPT)
    return replace(_now(), started_at=began.started_at)


async def _find(
    sender: Any, message: Message, *doubts: Attempt, name: str = "notif-1"
) -> Receipt | None:
    id = NotificationId(name)  # noqa: A001 (the domain's word)
    found: Receipt | None = await sender.find_sent(message, id=id, doubts=doubts, is_taken=_none)
    return found


async def _none(provider_message_id: str) -> bool:  # noqa: ARG001 (as the port has it)
    return False


def _now() -> Attempt:
    """Make an attempt of this moment."""
    now = datetime.now(UTC)
    return Attempt(1, now, now, Outcome.UNCLEAR)
