"""Stored notifications that cannot be read: loud, and in nobody's way."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path

import pytest
from support.sqlmodel_stores import ADDRESS, BODY, SUBJECT, email, opened, raw, run

from pinguin_adapters.sqlmodel_store import UnreadableNotification
from pinguin_core import Channel
from pinguin_core.testing.fakes import NOON

LEASE = timedelta(minutes=1)
DAMAGES = {
    "state": "state = 'thinking'",
    "channel's message": "recipient = 'nobody'",
    "subject": "subject = char(10)",
    "body": "body = ' '",
    "bytes": "body = CAST(x'ff' || CAST(body AS BLOB) AS TEXT)",
    "time": "created_at = 1 << 62",
    "missing moment": "state = 'sent'",
}


def damage(path: Path, name: str, how: str) -> None:
    with raw(path) as connection:
        connection.execute(f"UPDATE pinguin_notification SET {how} WHERE id = ?", [name])


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES.keys())
def test_reading_a_damaged_one_names_it_and_tells_nothing_of_it(tmp_path: Path, how: str) -> None:
    async def scenario() -> UnreadableNotification:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-1"))
            damage(tmp_path / "store.db", "notif-1", how)
            with pytest.raises(UnreadableNotification, match="notif-1 cannot be read") as failure:
                await store.get(email("notif-1").id)
            return failure.value

    error = run(scenario())
    told = "".join(traceback.format_exception(error))
    assert error.notification_id == "notif-1"
    for secret in (ADDRESS, SUBJECT, BODY):
        assert secret not in told


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_one_does_not_keep_the_others_from_being_claimed(
    tmp_path: Path, how: str
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            for n in range(3):
                await store.add(email(f"notif-{n}"))
            damage(tmp_path / "store.db", "notif-1", how)
            with pytest.raises(UnreadableNotification, match="notif-1 cannot be read"):
                await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            claimed = await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            assert [str(each.id) for each in claimed] == ["notif-0", "notif-2"]
            assert await store.next_wake(Channel.EMAIL) == NOON + LEASE

    run(scenario())


def test_what_is_set_aside_is_kept_as_it_was(tmp_path: Path) -> None:
    """An operator who mends it and gives it a `wake_at` sees it sent."""

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-1"))
            damage(tmp_path / "store.db", "notif-1", "state = 'thinking'")
            with pytest.raises(UnreadableNotification):
                await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            damage(tmp_path / "store.db", "notif-1", "state = 'queued', wake_at = created_at")
            assert await store.claim_due(Channel.EMAIL, NOON, LEASE, 10) == [
                email("notif-1").start(NOON, LEASE)
            ]

    run(scenario())


def test_a_row_of_another_channel_is_not_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-1"))
            damage(tmp_path / "store.db", "notif-1", "state = 'thinking'")
            assert await store.claim_due(Channel.SMS, NOON, LEASE, 10) == []

    run(scenario())
