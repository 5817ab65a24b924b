"""Every notification that can be written down comes back as it was."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from support.sqlmodel_stores import opened

from pinguin_adapters.sqlmodel_store.columns import Instant
from pinguin_core import (
    Cancelled,
    Email,
    EmailAddress,
    Failed,
    Notification,
    NotificationId,
    PhoneNumber,
    Queued,
    Sending,
    Sent,
    Sms,
)
from pinguin_core.testing.fakes import NOON

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))])
SOME_DAY = st.timedeltas(timedelta(days=-700_000), timedelta(days=2_900_000))
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.builds(
    lambda after, zone: (NOON + after).astimezone(zone), SOME_DAY, ZONES
)
COUNTS = st.integers(0, 2**31 - 1)
ERRORS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
BODIES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=1600
).filter(str.strip)
SUBJECTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=99)
ADDRESSES = st.sampled_from(["ada@example.com", "o'brien+x@bücher.example", "a@b.co"])
MESSAGES = st.builds(Email, ADDRESSES.map(EmailAddress), SUBJECTS, BODIES) | st.builds(
    Sms, st.just(PhoneNumber("+15550100123")), BODIES, SUBJECTS
)
STATES = st.one_of(
    st.builds(Queued, MOMENTS, ERRORS),
    st.builds(Sending, MOMENTS, ERRORS),
    st.builds(Sent, MOMENTS, ERRORS),
    st.builds(Failed, MOMENTS, ERRORS),
    st.builds(Cancelled, MOMENTS),
)


def notifications(ids: st.SearchStrategy[NotificationId]) -> st.SearchStrategy[Notification]:
    return st.builds(
        Notification,
        ids,
        MESSAGES,
        STATES,
        MOMENTS,
        MOMENTS,
        st.none() | MOMENTS,
        attempts=COUNTS,
        retries=COUNTS,
        crashes=COUNTS,
        possible_duplicate=st.booleans(),
        version=st.integers(2, 2**31 - 2),
    )


def test_every_notification_comes_back_as_it_was(any_url: str) -> None:
    numbers = count()
    fresh = st.builds(lambda: NotificationId(f"notif-{next(numbers)}"))
    with asyncio.Runner() as runner:
        opening = opened(any_url)
        store = runner.run(opening.__aenter__())

        @settings(max_examples=40, deadline=None)
        @given(notifications(fresh))
        def comes_back(notification: Notification) -> None:
            runner.run(store.add(notification))
            stored = runner.run(store.get(notification.id))
            assert notification == stored
            assert isinstance(stored.possible_duplicate, bool)
            assert stored.created_at.tzinfo == UTC

        @settings(max_examples=40, deadline=None)
        @given(notifications(fresh), STATES, COUNTS, st.booleans())
        def is_overwritten(first: Notification, state: Queued, n: int, flag: bool) -> None:  # noqa: FBT001 (drawn)
            after = first._next(
                state, first.created_at, attempts=n, retries=n, crashes=n, possible_duplicate=flag
            )
            runner.run(store.add(first))
            runner.run(store.save(after))
            assert after == runner.run(store.get(first.id))

        try:
            comes_back()
            is_overwritten()
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(2030, 1, 1, 13, 0, 0, 1, tzinfo=timezone(timedelta(hours=1))), 1893499200000001),
    ],
)
def test_sqlite_keeps_whole_microseconds(moment: datetime, stored: int) -> None:
    dialect = SQLiteDialect_pysqlite()
    assert stored == Instant().process_bind_param(moment, dialect)
    assert moment == Instant().process_result_value(stored, dialect)


def test_other_databases_keep_a_time_with_its_zone() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy ships it
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert Instant().compile(dialect) == "TIMESTAMP WITH TIME ZONE"
    assert moment == Instant().process_bind_param(moment, dialect)
    assert moment == Instant().process_result_value(moment, dialect)
