from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from support.mailing import sender_to
from support.smtp_provider import SmtpProvider

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_core.testing.contracts import EmailSenderContract, Provider


class TestSmtpSender(EmailSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[SmtpSender, Provider]]:
        limit = timedelta(seconds=1)
        async with (
            SmtpProvider() as relay,
            sender_to(relay, operation_timeout=limit) as sender,
        ):
            yield sender, relay
