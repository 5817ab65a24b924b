from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_core import Channel, Email, EmailAddress, InvalidValue, PhoneNumber, Sms

ADA = EmailAddress("ada@example.com")
PHONE = PhoneNumber("+15550100123")
STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@pytest.mark.parametrize("subject", ["", "Hi", "é 例え 🐧", "=?UTF-8?Q?x?=", "a" * 998, " a "])
def test_one_line_is_a_subject(subject: str) -> None:
    assert Email(ADA, subject, "Hello").subject == subject
    assert Sms(PHONE, "Hello", subject).subject == subject


@pytest.mark.parametrize(
    "bad",
    ["\0", "\t", "\n", "\r", "\r\n", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ud800"],
)
def test_control_characters_are_refused_in_a_subject(bad: str) -> None:
    for subject in (bad, f"Hi{bad}", f"{bad}Bcc: bob@example.com"):
        with pytest.raises(InvalidValue, match=r"^subject: must be one line"):
            Email(ADA, subject, "Hello")
        with pytest.raises(InvalidValue, match=r"^subject: must be one line"):
            Sms(PHONE, "Hello", subject)


def test_a_subject_has_998_characters_at_the_most() -> None:
    with pytest.raises(InvalidValue, match=r"^subject: must have at most 998 characters"):
        Email(ADA, "a" * 999, "Hello")


@pytest.mark.parametrize(
    "body", ["Hello", ".", "\r.\r", "a\rb\nc\r\n", "\x01\x7f", "🐧", "a" * 5000]
)
def test_a_body_may_hold_any_text(body: str) -> None:
    assert Email(ADA, "", body).body == body


@pytest.mark.parametrize("body", ["", " ", "\r\n\t", "\u2003\u3000", "\x1c"])
def test_a_body_of_white_space_is_empty(body: str) -> None:
    for make in (lambda: Email(ADA, "Hi", body), lambda: Sms(PHONE, body)):
        with pytest.raises(InvalidValue, match=r"^body: must not be empty"):
            make()


@pytest.mark.parametrize("body", ["a\0", "a\ud800", "\udfff!"])
def test_what_no_store_can_keep_is_refused(body: str) -> None:
    for make in (lambda: Email(ADA, "Hi", body), lambda: Sms(PHONE, body)):
        with pytest.raises(InvalidValue, match=r"^body: must not contain"):
            make()


def test_the_text_of_an_sms_has_1600_characters_at_the_most() -> None:
    assert len(Sms(PHONE, "a" * 1600).body) == 1600
    with pytest.raises(InvalidValue, match=r"^body: must have at most 1600 characters"):
        Sms(PHONE, "a" * 1601)


@given(st.text(STORABLE, min_size=1))
def test_any_storable_text_is_a_body_of_both_or_of_neither(body: str) -> None:
    if body.isspace():
        return
    assert Email(ADA, "", body).body == Sms(PHONE, body[:1600] + ".").body[:-1] + body[1600:]


def test_each_message_knows_its_way() -> None:
    assert Email(ADA, "Hi", "Hello").channel is Channel.EMAIL
    assert Sms(PHONE, "Hello").channel is Channel.SMS
