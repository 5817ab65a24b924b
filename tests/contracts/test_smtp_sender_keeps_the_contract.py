from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from support.mailing import sender_to
from support.smtp_provider import DistantSmtpProvider, SmtpProvider

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_core.testing.contracts import EmailSenderContract, Provider

LIMIT: Final = timedelta(seconds=1)
LONGER: Final = timedelta(seconds=3)
"""On a bad way a busy machine has been seen to need more than a second for what takes 50 ms."""


class TestSmtpSender(EmailSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[SmtpSender, Provider]]:
        async with (
            SmtpProvider() as relay,
            sender_to(relay, operation_timeout=LIMIT) as sender,
        ):
            yield sender, relay


class TestSmtpSenderOnABadWay(EmailSenderContract):
    """Through a proxy that passes on replies in small pieces, falls silent, and cuts."""

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[SmtpSender, Provider]]:
        async with (
            DistantSmtpProvider(extensions=("PIPELINING", "SIZE")) as relay,
            sender_to(relay.way, operation_timeout=LONGER) as sender,
        ):
            yield sender, relay
