from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from support.twilio_provider import TwilioProvider

from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import PhoneNumber
from pinguin_core.testing.contracts import Provider, SmsReconcilerContract


class TestTwilioSender(SmsReconcilerContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[TwilioSender, Provider]]:
        limit = timedelta(seconds=1)
        async with TwilioProvider() as twilio:
            account = TwilioAccount(
                sid="AC" + "0" * 32,
                auth_token="made up",
                from_number=PhoneNumber("+15550100000"),
                base_url=twilio.base_url,
            )
            async with TwilioSender(
                account, operation_timeout=limit, settling=timedelta(0)
            ) as sender:
                yield sender, twilio
