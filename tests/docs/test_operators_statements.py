"""The SQL that operators are told to use does what the page says, on each kind of database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from support.databases import KINDS, directly, fresh
from support.patience import patient
from support.sqlmodel_stores import email, opened

from pinguin_core import NotificationId, NotificationNotFound, Receipt
from pinguin_core.notification import Notification

PAGE: Final = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
DELETING: Final = dict(
    zip(KINDS, re.findall(r"DELETE FROM .*? LIMIT 5000\)?", PAGE, re.DOTALL), strict=True)
)
ASIDE: Final = re.findall(r"SELECT id, channel FROM .*?;", PAGE)
WAITING: Final = re.findall(r"SELECT channel, count.*?;", PAGE, re.DOTALL)
LONG_AGO: Final = datetime.now(UTC) - timedelta(days=91)
LATELY: Final = datetime.now(UTC) - timedelta(days=89)


def sent(name: str, at: datetime) -> Notification:
    queued = Notification.queue(NotificationId(name), email().message, at)
    return queued.start(at, timedelta(minutes=1)).succeed(Receipt("accepted"), at)


@patient
@pytest.mark.parametrize("kind", KINDS)
async def test_only_what_ended_long_ago_is_deleted(kind: str) -> None:
    with fresh(kind) as url:
        async with opened(url) as store:
            for notification in (sent("old", LONG_AGO), sent("new", LATELY), email("waiting")):
                await store.add(notification)
            with directly(url) as connection:
                assert connection.exec_driver_sql(DELETING[kind]).rowcount == 1
            with pytest.raises(NotificationNotFound):
                await store.get(NotificationId("old"))
            assert (await store.get(NotificationId("new"))).is_final
            assert not (await store.get(NotificationId("waiting"))).is_final


@patient
async def test_what_waits_and_what_was_set_aside_is_found() -> None:
    with fresh("sqlite") as url:
        async with opened(url) as store:
            for notification in (sent("old", LONG_AGO), email("waiting"), email("damaged")):
                await store.add(notification)
        with directly(url) as connection:
            connection.exec_driver_sql(
                "UPDATE pinguin_notification SET wake_at = NULL WHERE id = 'damaged'"
            )
            assert connection.exec_driver_sql(ASIDE[0]).all() == [("damaged", "email")]
            due = email("waiting").wake_at
            assert connection.exec_driver_sql(WAITING[0]).all() == [
                ("email", 1, f"{due:%Y-%m-%d %H:%M:%S}")
            ]
