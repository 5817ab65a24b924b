"""A process that dies while Twilio has its text message: the next one does not send it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from aiohttp import web
from support.commands import Service
from support.scripted_twilio import SID, Posted, ScriptedTwilio
from support.waiting import in_time

from pinguin_core import PhoneNumber, Sms
from pinguin_grpc.client import NotificationStatus, Outcome, PinguinClient, Status

TOKEN: Final = "made-up"
SMS: Final = Sms(PhoneNumber("+15550100123"), "The disk of web-1 is full")


class SilentTwilio(ScriptedTwilio):
    """Takes messages and lists them, and answers none of those that it takes."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.taken: list[dict[str, str]] = []
        self.has_taken_one = asyncio.Event()
        self.is_over = asyncio.Event()

    async def _answer(self, posted: Posted) -> web.StreamResponse:
        if not posted.form:
            return web.json_response({"messages": self.taken})
        self.taken.append(
            {
                "sid": SID,
                "to": posted.form["To"],
                "from": posted.form["From"],
                "body": posted.form["Body"],
                "date_created": format_datetime(datetime.now(UTC)),
            }
        )
        self.has_taken_one.set()
        await self.is_over.wait()
        return web.Response(status=503)


@asynccontextmanager
async def serving(
    folder: Path, twilio: SilentTwilio
) -> AsyncIterator[tuple[Service, PinguinClient]]:
    service = Service(
        folder,
        {
            "NOTIFICATION_AUTH_TOKEN": TOKEN,
            "TWILIO_ACCOUNT_SID": "AC1",
            "TWILIO_AUTH_TOKEN": "made up",
            "TWILIO_FROM_NUMBER": "+15550100999",
            "TWILIO_BASE_URL": twilio.base_url,
        },
    )
    await asyncio.to_thread(service.__enter__)
    try:
        host, _, port = service.address.rpartition(":")
        async with PinguinClient(host, int(port), token=TOKEN) as client:
            yield service, client
    finally:
        await asyncio.to_thread(service.__exit__, None, None, None)


async def sent_after_a_kill(folder: Path, twilio: SilentTwilio) -> NotificationStatus:
    async with serving(folder, twilio) as (first, client):
        accepted = await client.send(SMS)
        await in_time(twilio.has_taken_one, "Twilio to take the message")
        first.process.kill()
    async with serving(folder, twilio) as (second, client):
        await asyncio.to_thread(second.wait_for, "notification.sent")
        return await client.status(accepted.id)


def test_what_twilio_took_from_a_process_that_died_is_not_sent_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with SilentTwilio() as twilio:
            status = await sent_after_a_kill(tmp_path, twilio)
            twilio.is_over.set()
        assert len(twilio.taken) == 1
        assert (status.status, status.provider_message_id) == (Status.SENT, SID)
        assert [each.outcome for each in status.attempts] == [Outcome.CRASHED, Outcome.SENT]
        assert not status.possible_duplicate

    asyncio.run(work())
