"""Which messages of Twilio's list an attempt in doubt may have left there."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_adapters.twilio_sender.listing import (
    EARLY,
    LATE,
    Page,
    filters_for,
    page_in,
)
from pinguin_adapters.twilio_sender.replies import Reply, refusal_to_list
from pinguin_core import (
    Attempt,
    Outcome,
    PhoneNumber,
    ProviderMisconfigured,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON

SMS = Sms(PhoneNumber("+15550100123"), "Disk full\non web-1")
OURS = PhoneNumber("+15550100999")
SECOND = timedelta(seconds=1)
ATTEMPT = Attempt(1, NOON, NOON + 30 * SECOND, Outcome.UNCLEAR)
LATER = Attempt(2, NOON + timedelta(hours=1), NOON + timedelta(hours=1), Outcome.CRASHED)
NOW = NOON + timedelta(hours=2)


def entry(at: datetime = NOON, **other: Any) -> dict[str, object]:
    return {
        "sid": "SM1",
        "to": SMS.to.value,
        "from": OURS.value,
        "body": SMS.body,
        "date_created": format_datetime(at),
        "date_sent": None,
        **other,
    }


def sids(*entries: object, date: str | None = None) -> list[str] | None:
    reply = Reply(200, json.dumps({"messages": entries}).encode(), date=date)
    page = page_in(SMS, OURS, [ATTEMPT, LATER], reply, NOW)
    return None if page is None else [listed.sid for listed in page.found]


def rest(uri: object, *entries: object) -> str | None:
    reply = Reply(200, json.dumps({"messages": entries, "next_page_uri": uri}).encode())
    page = page_in(SMS, OURS, [ATTEMPT, LATER], reply, NOW)
    assert page is not None
    return page.rest


def test_twilio_is_asked_for_what_went_to_the_recipient_whatever_became_of_it() -> None:
    assert filters_for(SMS, OURS) == {
        "To": "+15550100123",
        "From": "+15550100999",
        "PageSize": "1000",
    }


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"status": "failed"},
        {"body": "Disk full\r\non web-1"},
        {"body": "Disk full\non web-1\n"},
        {"body": "Sent from your Twilio trial account - Disk full\non web-1"},
        {"date_created": "Tue, 01 Jan 2030 12:00:03 GMT"},
    ],
)
def test_the_same_message_is_found(same: dict[str, Any]) -> None:
    assert sids(entry(**same)) == ["SM1"]


@pytest.mark.parametrize(
    "other",
    [
        {"to": "+15550100124"},
        {"from": "+15550100998"},
        {"body": "Disk full\non web-2"},
        {"body": "disk full\non web-1"},
        {"body": None},
        {"sid": None},
        {"sid": "../x"},
        {"date_created": None},
        {"date_created": "yesterday"},
        {"date_created": 1},
    ],
)
def test_anything_else_is_not(other: dict[str, Any]) -> None:
    assert sids(entry(**other), 7, None) == []


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (NOON - EARLY - SECOND, []),
        (NOON - EARLY, ["SM1"]),
        (ATTEMPT.ended_at + LATE, ["SM1"]),
        (ATTEMPT.ended_at + LATE + SECOND, []),
        (NOON + timedelta(minutes=30), []),
        (LATER.started_at, ["SM1"]),
    ],
)
def test_it_was_made_while_an_attempt_was_under_way_or_soon_after(
    at: datetime, found: list[str]
) -> None:
    assert sids(entry(at)) == found


@pytest.mark.parametrize("ahead", [timedelta(minutes=-30), timedelta(minutes=5)])
def test_a_difference_between_the_clocks_does_not_matter(ahead: timedelta) -> None:
    date = format_datetime(NOW + ahead)
    assert sids(entry(NOON + ahead), date=date) == ["SM1"]
    assert sids(entry(NOON), date=date) == []


@pytest.mark.parametrize("uri", [None, ""])
def test_the_last_page_says_so(uri: object) -> None:
    assert rest(uri, entry()) is None


@pytest.mark.parametrize(
    "entries", [[], [7], [entry(date_created="yesterday")], [entry(NOON - EARLY)]]
)
def test_the_list_goes_on_as_long_as_younger_messages_may_come(entries: list[object]) -> None:
    assert rest("/next", *entries) == "/next"


def test_no_further_page_is_read_when_all_on_one_are_older_than_the_first_attempt() -> None:
    older = entry(NOON - EARLY - SECOND)
    assert rest("/next", older, older) is None
    assert rest("/next", older, entry(NOON), older) == "/next"


@pytest.mark.parametrize("uri", [7, ["/next"], "https://example.com/next", "next", "@example.com/"])
def test_a_page_elsewhere_is_none(uri: object) -> None:
    """Our token goes nowhere else."""
    reply = Reply(200, json.dumps({"messages": [], "next_page_uri": uri}).encode())
    assert page_in(SMS, OURS, [ATTEMPT], reply, NOW) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"messages": null}', b"<html>", b"[" * 60_000]
)
def test_what_is_no_list_is_not_taken_for_an_empty_one(body: bytes) -> None:
    assert page_in(SMS, OURS, [ATTEMPT], Reply(200, body), NOW) is None


@given(body=st.binary() | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode))
def test_nothing_that_comes_as_a_list_breaks_it(body: bytes) -> None:
    page = page_in(SMS, OURS, [ATTEMPT], Reply(200, body), NOW)
    assert page is None or page == Page([], None)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 408, 429, 500, 503])
def test_whatever_comes_instead_of_a_list_is_neither_final_nor_a_doubt(status: int) -> None:
    error = refusal_to_list(Reply(status, b"{}", "17"), NOON)
    assert isinstance(error, TransientDeliveryError)
    assert error.of_provider
    assert not error.ambiguous
    assert isinstance(error, ProviderMisconfigured) == (status in {301, 401, 403, 404})
    assert "looking up an earlier attempt" in error.reason
    assert isinstance(error, ProviderMisconfigured) or error.retry_after == 17 * SECOND
