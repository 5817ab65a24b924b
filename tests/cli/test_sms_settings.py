"""The settings for SMS reach the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.patience import patient
from support.scripted_twilio import ScriptedTwilio

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_cli.container import Container
from pinguin_cli.settings import ServerSettings
from pinguin_core import InvalidValue, Notification, PhoneNumber, Queued, Sent, Sms
from pinguin_core.testing.fakes import MemoryRepository

HERE = PhoneNumber("+15550100123")
TWILIO = {
    "NOTIFICATION_AUTH_TOKEN": "made-up",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "made up",
    "TWILIO_FROM_NUMBER": "+15550100999",
}
RULES = {
    "SMS_ALLOWED_PREFIXES": "+1, +49",
    "SMS_MAX_SEGMENTS": "1",
    "SMS_FOLD_TYPOGRAPHY": "1",
}

LIMITS = {"SMS_PER_DAY": "100", "SMS_PER_RECIPIENT_PER_DAY": "2"}


@pytest.mark.usefixtures("own_logging")
def test_what_they_rule_out_is_refused_and_folded(
    set_environment: Callable[[Mapping[str, str]], None],
) -> None:
    set_environment(TWILIO | RULES)
    container = Container(settings=ServerSettings.read(), repository=MemoryRepository())

    async def work() -> None:
        service = container.service()
        sent = await service.send(Sms(HERE, "\u201cHello\u201d"))
        assert sent.message.body == '"Hello"'
        for refused in (Sms(PhoneNumber("+33199000123"), "Hello"), Sms(HERE, "a" * 161)):
            with pytest.raises(InvalidValue):
                await service.send(refused)

    asyncio.run(work())


@pytest.mark.usefixtures("own_logging")
def test_limits_of_a_day_hold_after_a_restart(
    set_environment: Callable[[Mapping[str, str]], None], tmp_path: Path
) -> None:
    """And for what is beyond them, the service says so."""
    url = f"sqlite:///{tmp_path}/pinguin.db"

    async def serve(base_url: str, *texts: str) -> list[Notification]:
        set_environment(TWILIO | LIMITS | {"TWILIO_BASE_URL": base_url})
        async with SqlModelNotificationRepository.open(url) as store:
            container = Container(settings=ServerSettings.read(), repository=store)
            sender = container.sms_sender()
            assert sender is not None
            async with sender, container.dispatcher():
                sent = [await container.service().send(Sms(HERE, text)) for text in texts]
                return [await settled(store, each) for each in sent]

    @patient
    async def work() -> None:
        async with ScriptedTwilio() as twilio:
            first = await serve(twilio.base_url, "one", "two")
            second = await serve(twilio.base_url, "three")
        assert [type(each.state) for each in first] == [Sent, Sent]
        [held] = second
        assert isinstance(held.state, Queued)
        assert "the limit of 2 SMS a day to one recipient is reached" in held.last_error
        assert [posted.form["Body"] for posted in twilio.requests] == ["one", "two"]

    work()


async def settled(
    store: SqlModelNotificationRepository, notification: Notification
) -> Notification:
    """Wait until something has come of it: it was sent, or is held."""
    while not (found := await store.get(notification.id)).is_final and not found.last_error:  # noqa: ASYNC110 (another thread's work has no event)
        await asyncio.sleep(0)
    return found
