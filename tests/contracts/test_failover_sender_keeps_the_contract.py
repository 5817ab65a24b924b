"""Two senders, of which one can deliver, are together what each of them is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web
from support.mailing import FROM, sender_to
from support.smtp_provider import SmtpProvider
from support.twilio_provider import TwilioProvider

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import Email, FailoverSender, PhoneNumber, Sms
from pinguin_core.testing.contracts import (
    EmailSenderContract,
    Provider,
    SmsReconcilerContract,
)

LIMIT = timedelta(seconds=1)
ALWAYS = timedelta(microseconds=1)


class TestFailoverSender(EmailSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[FailoverSender[Email], Provider]]:
        nobody = SmtpRelay("127.0.0.1", port=1)
        async with (
            SmtpProvider() as relay,
            SmtpSender(nobody, from_address=FROM) as primary,
            sender_to(relay, operation_timeout=LIMIT) as fallback,
        ):
            yield FailoverSender(primary, fallback, probe_interval=ALWAYS), relay


class BusyTwilio(TwilioProvider):
    """Takes nothing, and says so; its list, which is empty, can be had."""

    async def _create(self, request: web.Request) -> web.Response:
        return web.json_response({"code": 20429}, status=429)


def sender_of_sms_to(twilio: TwilioProvider) -> TwilioSender:
    account = TwilioAccount(
        sid="AC" + "0" * 32,
        auth_token="made up",
        from_number=PhoneNumber("+15550100000"),
        base_url=twilio.base_url,
    )
    return TwilioSender(account, operation_timeout=LIMIT, settling=timedelta(0))


class TestReconcilerWithAFallback(SmsReconcilerContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[FailoverSender[Sms], Provider]]:
        async with (
            TwilioProvider() as twilio,
            BusyTwilio() as busy,
            sender_of_sms_to(twilio) as primary,
            sender_of_sms_to(busy) as fallback,
        ):
            yield FailoverSender(primary, fallback, probe_interval=ALWAYS), twilio


class TestReconcilerAsFallback(SmsReconcilerContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[FailoverSender[Sms], Provider]]:
        async with (
            BusyTwilio() as busy,
            TwilioProvider() as twilio,
            sender_of_sms_to(busy) as primary,
            sender_of_sms_to(twilio) as fallback,
        ):
            yield FailoverSender(primary, fallback, probe_interval=ALWAYS), twilio
