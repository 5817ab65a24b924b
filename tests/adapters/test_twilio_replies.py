from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_adapters.twilio_sender.replies import (
    LONGEST_WAIT,
    Reply,
    Verdict,
    judge,
    refusal,
    wait_after,
)
from pinguin_core import PermanentDeliveryError, ProviderMisconfigured, TransientDeliveryError
from pinguin_core.testing.fakes import NOON

SECOND = timedelta(seconds=1)
_HEADERS = st.one_of(st.text(), st.integers().map(str), st.datetimes().map(format_datetime))
CHECK = "(check the account's configuration)"


def reply(status: int, code: object = None, message: object = None) -> Reply:
    return Reply(status, json.dumps({"code": code, "message": message}).encode())


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (200, None, Verdict.SENT),
        (201, None, Verdict.SENT),
        (201, 21211, Verdict.SENT),
        (301, None, Verdict.CONFIGURATION),
        (307, None, Verdict.CONFIGURATION),
        (400, None, Verdict.RETRY),
        (400, 400, Verdict.RETRY),
        (404, 1020, Verdict.CONFIGURATION),
        (400, 99999, Verdict.FAIL),
        (400, 21211, Verdict.FAIL),
        (400, 21614, Verdict.FAIL),
        (400, 21610, Verdict.FAIL),
        (400, 21612, Verdict.FAIL),
        (400, 21408, Verdict.FAIL),
        (403, 21408, Verdict.FAIL),
        (400, 21617, Verdict.FAIL),
        (413, None, Verdict.RETRY),
        (422, None, Verdict.RETRY),
        (422, 99999, Verdict.FAIL),
        (400, 21606, Verdict.CONFIGURATION),
        (400, 21608, Verdict.CONFIGURATION),
        (400, 21212, Verdict.CONFIGURATION),
        (400, 20003, Verdict.CONFIGURATION),
        (401, 20003, Verdict.CONFIGURATION),
        (401, None, Verdict.CONFIGURATION),
        (403, None, Verdict.CONFIGURATION),
        (404, None, Verdict.CONFIGURATION),
        (404, 20404, Verdict.CONFIGURATION),
        (405, None, Verdict.CONFIGURATION),
        (407, None, Verdict.CONFIGURATION),
        (408, None, Verdict.RETRY),
        (429, None, Verdict.RETRY),
        (429, 20429, Verdict.RETRY),
        (400, 20429, Verdict.RETRY),
        (500, None, Verdict.IN_DOUBT),
        (502, None, Verdict.IN_DOUBT),
        (503, 21211, Verdict.IN_DOUBT),
        (199, None, Verdict.IN_DOUBT),
        (600, None, Verdict.IN_DOUBT),
    ],
)
def test_a_reply_means_what_the_table_says(status: int, code: int | None, verdict: Verdict) -> None:
    assert judge(reply(status, code)) is verdict


@pytest.mark.parametrize(
    ("answer", "kind", "ambiguous", "reason"),
    [
        (
            reply(400, 21211, "The 'To' number +15550100123 is not a valid phone number."),
            PermanentDeliveryError,
            False,
            "Twilio: HTTP 400, error 21211: The 'To' number +1•••0123 is not a valid phone number.",
        ),
        (
            reply(400, 21606, "The From number +15550100999 is not yours"),
            ProviderMisconfigured,
            False,
            f"Twilio: HTTP 400, error 21606: The From number +1•••0999 is not yours {CHECK}",
        ),
        (reply(429), TransientDeliveryError, False, "Twilio: HTTP 429"),
        (reply(503, "21211", 7), TransientDeliveryError, True, "Twilio: HTTP 503"),
        (reply(400, 2.5, ["x"]), TransientDeliveryError, False, "Twilio: HTTP 400"),
        (Reply(400, b"<html>"), TransientDeliveryError, False, "Twilio: HTTP 400"),
        (Reply(502, b"<html>"), TransientDeliveryError, True, "Twilio: HTTP 502"),
        (
            reply(400, 99999, "f00d and\r\nf00d\x1b[0m"),
            PermanentDeliveryError,
            False,
            "Twilio: HTTP 400, error 99999: ••• and ••• [0m",
        ),
    ],
)
def test_a_refusal_names_status_code_and_words_without_what_is_private(
    *, answer: Reply, kind: type[Exception], ambiguous: bool, reason: str
) -> None:
    error = refusal(answer, NOON, ["f00d"])
    assert type(error) is kind
    assert error.reason == reason
    assert getattr(error, "ambiguous", False) == ambiguous
    assert getattr(error, "of_provider", False) == (kind is not PermanentDeliveryError)


def test_twilio_is_not_asked_again_before_it_said() -> None:
    error = refusal(Reply(429, b"", "17"), NOON)
    assert isinstance(error, TransientDeliveryError)
    assert error.retry_after == timedelta(seconds=17)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        ("999999999", LONGEST_WAIT),
        ("9999999999", LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        ("0" * 5000 + "60", timedelta(minutes=1)),
        (format_datetime(NOON + timedelta(minutes=3), usegmt=True), timedelta(minutes=3)),
        (format_datetime(NOON - timedelta(minutes=3), usegmt=True), timedelta(0)),
        (format_datetime(NOON + timedelta(days=9), usegmt=True), LONGEST_WAIT),
        ("Tue, 01 Jan 2030 12:01:00 -0000", timedelta(minutes=1)),
        ("Tue, 01 Jan 2030 12:01:00 +9999", None),
        ("Tue, 99 Jan 2030 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    assert wait_after(Reply(429, b"", header), NOON) == wait


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(0), timedelta(hours=1)])
def test_a_date_is_read_by_the_clock_of_whoever_wrote_it(ahead: timedelta) -> None:
    until, date = (format_datetime(NOON + wait, usegmt=True) for wait in (5 * SECOND, 0 * SECOND))
    error = refusal(Reply(429, b"", until, date), NOON + ahead)
    assert isinstance(error, TransientDeliveryError)
    assert error.retry_after == 5 * SECOND


@pytest.mark.parametrize("date", [None, "", "noon"])
def test_without_its_clock_a_date_is_read_by_ours(date: str | None) -> None:
    until = format_datetime(NOON + 5 * SECOND, usegmt=True)
    assert wait_after(Reply(429, b"", until, date), NOON) == 5 * SECOND


@given(
    header=_HEADERS,
    date=_HEADERS,
    now=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (bounds are naive)
)
def test_no_header_makes_us_wait_longer_than_a_day(header: str, date: str, now: datetime) -> None:
    wait = wait_after(Reply(429, b"", header, date), now)
    assert wait is None or timedelta(0) <= wait <= LONGEST_WAIT


@given(status=st.integers(100, 999), body=st.binary())
def test_every_reply_has_a_meaning(status: int, body: bytes) -> None:
    answer = Reply(status, body)
    error = refusal(answer, NOON)
    assert isinstance(error, PermanentDeliveryError) == (judge(answer) is Verdict.FAIL)
    assert error.reason.startswith(f"Twilio: HTTP {status}")
