"""Two senders of which the first reaches nobody are together what every sender is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from support.mailing import FROM, sender_to
from support.smtp_provider import SmtpProvider

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_core import Email, FailoverSender
from pinguin_core.testing.contracts import EmailSenderContract, Provider


class TestFailoverSender(EmailSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[FailoverSender[Email], Provider]]:
        nobody = SmtpRelay("127.0.0.1", port=1)
        async with (
            SmtpProvider() as relay,
            SmtpSender(nobody, from_address=FROM) as primary,
            sender_to(relay, operation_timeout=timedelta(seconds=1)) as fallback,
        ):
            always = timedelta(microseconds=1)
            yield FailoverSender(primary, fallback, probe_interval=always), relay
