from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from support.twilio_provider import DistantTwilioProvider, TwilioProvider

from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import PhoneNumber
from pinguin_core.testing.contracts import Provider, SmsReconcilerContract

LIMIT: Final = timedelta(seconds=1)
LONGER: Final = timedelta(seconds=3)
"""On a bad way a busy machine may need more than a second for what takes a few milliseconds."""


def sender_to(twilio: TwilioProvider, *, limit: timedelta) -> TwilioSender:
    account = TwilioAccount(
        sid="AC" + "0" * 32,
        auth_token="made up",
        from_number=PhoneNumber("+15550100000"),
        base_url=twilio.base_url,
    )
    return TwilioSender(account, operation_timeout=limit, settling=timedelta(0))


class TestTwilioSender(SmsReconcilerContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[TwilioSender, Provider]]:
        async with TwilioProvider() as twilio, sender_to(twilio, limit=LIMIT) as sender:
            yield sender, twilio


class TestTwilioSenderOnABadWay(SmsReconcilerContract):
    """Through a proxy that passes on replies in small pieces, falls silent, and cuts."""

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[TwilioSender, Provider]]:
        async with DistantTwilioProvider() as twilio, sender_to(twilio, limit=LONGER) as sender:
            yield sender, twilio
