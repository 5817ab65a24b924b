from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_core import EmailAddress, IdempotencyKey, InvalidValue, NotificationId, PhoneNumber
from pinguin_core.values import require_aware

ATOM = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
LOCAL_PARTS = st.text(ATOM, min_size=1, max_size=64).filter(lambda local: "?=" not in local)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
LONGEST_LOCAL = "a" * 64


def domain_of(length: int) -> str:
    """A good domain of exactly this many characters."""
    labels = ["a" * 63] * (length // 64)
    rest = length - 64 * len(labels)
    return ".".join([*labels, "b" * rest])


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        "a@b.co",
        "first.last+tag@mail.example.com",
        "!#$%&'*+/=?^_`{|}~-@example.com",
        "=?utf-8?q?=@example.com",
        "0@0.example",
        "ada@xn--bcher-kva.example",
        "ada@bücher.example",
        "ada@例え.テスト",
        "ada@a-b.example",
        "Ada@Example.COM",
        "ádá@example.com",
        "zoë.müller+post@example.com",
        "用户@例え.テスト",
        "हिन्दी@example.com",
        f"{'á' * 32}@example.com",
        "ada@3com.example",
        f"{LONGEST_LOCAL}@example.com",
        f"a@{'b' * 63}.example",
        f"a@{domain_of(252)}",
        f"á@{domain_of(251)}",
    ],
)
def test_plain_addresses_are_accepted_as_written(address: str) -> None:
    assert str(EmailAddress(address)) == address


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "must not be empty"),
        (f"ab@{domain_of(252)}", "at most 254 characters"),
        (f"{LONGEST_LOCAL}a@example.com", "at most 64 characters before the @"),
        ("ada", "must be one e-mail address"),
        ("ada.example.com", "must be one e-mail address"),
        ("@example.com", "before the @ only"),
        ("ada@", "full domain name"),
        ("ada@localhost", "full domain name"),
        ("ada@example", "full domain name"),
        ("ada@.example.com", "full domain name"),
        ("ada@example.com.", "full domain name"),
        ("ada@example..com", "full domain name"),
        ("ada@-example.com", "full domain name"),
        ("ada@example-.com", "full domain name"),
        ("ada@exam_ple.com", "full domain name"),
        (f"ada@{'b' * 64}.example", "full domain name"),
        ("ada@192.0.2.1", "full domain name"),
        ("ada@[192.0.2.1]", "full domain name"),
        ("ada@example.com\n", "full domain name"),
        ("ada@exam ple.com", "full domain name"),
        ("ada@example.com>", "full domain name"),
        ("ada@example.com,bob@example.com", "before the @ only"),
        ("ada@example.com;bob@example.com", "before the @ only"),
        ("ada@bob@example.com", "before the @ only"),
        ("Ada <ada@example.com>", "before the @ only"),
        ("<ada@example.com>", "before the @ only"),
        ('"ada"@example.com', "before the @ only"),
        ("ada\r\nBcc: bob@example.com", "before the @ only"),
        ("ada\0@example.com", "before the @ only"),
        (" ada@example.com", "before the @ only"),
        ("ada @example.com", "before the @ only"),
        (".ada@example.com", "before the @ only"),
        ("ada.@example.com", "before the @ only"),
        ("a..da@example.com", "before the @ only"),
        ("(comment)ada@example.com", "before the @ only"),
        ("\u200bádá@example.com", "before the @ only"),
        ("á\N{FULLWIDTH COMMERCIAL AT}b@example.com", "before the @ only"),
        ("á..b@example.com", "before the @ only"),
        ("á\u202eb@example.com", "before the @ only"),
        ("á\u2028b@example.com", "before the @ only"),
        ("á\x85b@example.com", "before the @ only"),
        ("á\N{PENGUIN}@example.com", "before the @ only"),
        ("á\ud800@example.com", "before the @ only"),
        ("á\r\nBcc: bob@example.com", "before the @ only"),
        ("a\N{COMBINING ACUTE ACCENT}da@example.com", "normal form C"),
        (f"{'á' * 33}@example.com", "at most 64 bytes before the @"),
        (f"á@{domain_of(252)}", "at most 254 bytes"),
        ("=?utf-8?q?a=2C_b=40c?=@example.com", "encoded-word"),
        ("ada.=?utf-8?b?QQ==?=.b@example.com", "encoded-word"),
        ("=?x?y??=@example.com", "encoded-word"),
        ("ada@büch\u200ber.example", "full domain name"),
        ("ada@bücher", "full domain name"),
        ("ada@-bücher.example", "full domain name"),
        ("ada@bücher-.example", "full domain name"),
        ("ada@bücher..example", "full domain name"),
        ("ada@bücher\r.example", "full domain name"),
        ("ada@例え。テスト", "full domain name"),
        ("ada@\ud800ü.example", "full domain name"),
        (f"ada@{'ü' * 64}.example", "full domain name"),
    ],
)
def test_anything_else_is_refused_with_its_first_problem(address: str, problem: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        EmailAddress(address)
    assert refused.value.field == "email_address"
    assert problem in refused.value.problem


@pytest.mark.parametrize("make", [EmailAddress, PhoneNumber, NotificationId])
def test_what_was_refused_is_not_repeated(make: Callable[[str], object]) -> None:
    """An error may be logged; whose address it was about may not."""
    for text in ("grace.hopper@navy", "grace hopper@navy.example", "+1 555 0100 grace"):
        with pytest.raises(InvalidValue) as refused:
            make(text)
        assert "grace" not in repr(refused.value)


@given(
    st.text(ATOM, min_size=1, max_size=64).filter(lambda part: "?=" not in part),
    st.lists(LABEL, min_size=2, max_size=4),
)
def test_any_dot_atom_at_any_host_name_is_an_address(local: str, labels: list[str]) -> None:
    address = f"{local}@{'.'.join(labels)}"
    assert EmailAddress(address).domain == ".".join(labels)


@given(st.text())
def test_an_address_is_made_or_refused_and_never_has_room_for_more_than_itself(text: str) -> None:
    try:
        address = EmailAddress(text)
    except InvalidValue:
        return
    assert not set(str(address)) & set(' \t\r\n\0,;:<>()[]"\\')


@pytest.mark.parametrize("piece", ["a.", "a-", "-", "ü", "ü.", ".", "@", "a@", "1."])
def test_a_hostile_address_costs_next_to_nothing(piece: str) -> None:
    """A regular expression that backtracks would never end here."""
    for hostile in (piece * 50_000, "a@" + piece * 120, "a@" + piece * 50_000):
        with pytest.raises(InvalidValue):
            EmailAddress(hostile)


@pytest.mark.parametrize("number", ["+15550100123", "+49301234567", "+10", "+999999999999999"])
def test_e164_numbers_are_accepted(number: str) -> None:
    assert str(PhoneNumber(number)) == number


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "+1",
        "15550100123",
        "+05550100123",
        "+1 555 0100123",
        "+1-555-010-0123",
        "+1555010012a",
        "+1234567890123456",
        "+15550100123\n",
        "whatsapp:+15550100123",
        "tel:+15550100123",
        "\uff0b15550100123",
        "+1555010012\uff13",
        "+1555010012٣",
    ],
)
def test_other_numbers_are_refused(number: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        PhoneNumber(number)
    assert refused.value.field == "phone_number"


@given(st.from_regex(r"\+[1-9][0-9]{1,14}", fullmatch=True))
def test_any_plus_and_two_to_fifteen_digits_is_a_number(number: str) -> None:
    assert PhoneNumber(number).value == number


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_ids_keep_their_text(text: str) -> None:
    assert str(NotificationId(text)) == text


@pytest.mark.parametrize("text", ["", "a" * 65, "a b", "a\n", "é", "a/b", "notif-…", "a'--"])
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        NotificationId(text)
    assert refused.value.field == "notification_id"


def test_ids_sort_as_their_texts_do() -> None:
    assert NotificationId("notif-1") < NotificationId("notif-2")


OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS))  # noqa: DTZ001 (hypothesis adds the zone)
def test_a_moment_with_a_zone_is_told_in_utc(moment: datetime) -> None:
    told = require_aware(moment, "scheduled_at")
    assert told.tzinfo is UTC
    assert told == moment


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2030, 1, 1),  # noqa: DTZ001 (no zone is the point)
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_moment_that_nobody_can_place_is_refused(moment: datetime) -> None:
    with pytest.raises(InvalidValue, match=r"^scheduled_at: must"):
        require_aware(moment, "scheduled_at")


@pytest.mark.parametrize("text", ["k", "K" * 255, "0b1f6a3e-5c1d-4e0a-9a55-1f8f7c0d2e11", "!~"])
def test_an_idempotency_key_is_visible_ascii(text: str) -> None:
    assert str(IdempotencyKey(text)) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\n", "\x7f", "\0", "é", "\ud800", "a\t", "k" * 256]
)
def test_anything_else_is_no_idempotency_key(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        IdempotencyKey(text)
    assert refused.value.field == "idempotency_key"
    assert ("255" in refused.value.problem) == (len(text) > 255)
