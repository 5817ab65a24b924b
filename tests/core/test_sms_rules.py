"""What a service accepts as an SMS, and how it stores it."""

# ruff: noqa: RUF001 (typography is the point)

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given

from pinguin_core import InvalidValue, NotificationService, PhoneNumber, Sms, SmsRules
from pinguin_core.folding import fold_typography
from pinguin_core.segments import Encoding, encoding_of
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_core.testing.strategies import sms as texts

LONDON = PhoneNumber("+442079460123")


@given(texts())
def test_without_rules_every_sms_is_accepted_as_it_is(sms: Sms) -> None:
    assert SmsRules().admit(sms) is sms


@pytest.mark.parametrize("prefixes", [["+44"], ["+4420"], ["+1", "+44"], [LONDON.value]])
def test_a_recipient_whose_prefix_is_allowed_is_accepted(prefixes: list[str]) -> None:
    SmsRules(allowed_prefixes=prefixes).admit(Sms(LONDON, "Hello"))


@pytest.mark.parametrize("prefixes", [["+1"], ["+1", "+332"], ["+331990002"]])
def test_a_recipient_elsewhere_is_refused(prefixes: list[str]) -> None:
    number = PhoneNumber("+33199000123")
    with pytest.raises(InvalidValue, match=r"must begin with \+") as caught:
        SmsRules(allowed_prefixes=prefixes).admit(Sms(number, "Hello"))
    assert caught.value.field == "phone_number"
    assert number.value not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "accepted"), [("a" * 306, True), ("a" * 307, False), ("ж" * 135, False)]
)
def test_a_text_of_too_many_segments_is_refused(body: str, *, accepted: bool) -> None:
    rules, message = SmsRules(max_segments=2), Sms(LONDON, body)
    if accepted:
        assert rules.admit(message) is message
    else:
        with pytest.raises(InvalidValue, match=r"at most 2 SMS segments, and has 3") as caught:
            rules.admit(message)
        assert caught.value.field == "body"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("“It’s 9–5 – ‘really’…”", "\"It's 9-5 - 'really'...\""),
        ("«10\u202f000\u00a0€»", '"10 000 €"'),
        ("plain", "plain"),
        ("“Привет”", "“Привет”"),
        ("It’s 👍", "It’s 👍"),
        ("Ü – ñ", "Ü - ñ"),
    ],
)
def test_typography_is_folded_where_that_makes_it_gsm_7(text: str, folded: str) -> None:
    assert fold_typography(text) == folded
    assert SmsRules(fold_typography=True).admit(Sms(LONDON, text)).body == folded
    assert SmsRules().admit(Sms(LONDON, text)).body == text


@given(texts())
def test_folding_changes_a_text_only_to_make_it_gsm_7(sms: Sms) -> None:
    admitted = SmsRules(fold_typography=True).admit(sms)
    assert admitted == sms or encoding_of(admitted.body) is Encoding.GSM_7
    assert admitted.segments <= sms.segments
    assert (admitted.to, admitted.subject) == (sms.to, sms.subject)


def test_segments_are_counted_of_what_is_sent() -> None:
    message = Sms(LONDON, "a" * 159 + "’")
    assert SmsRules(max_segments=1, fold_typography=True).admit(message).segments == 1
    with pytest.raises(InvalidValue):
        SmsRules(max_segments=1).admit(message)


def test_what_would_grow_too_long_by_folding_stays_as_it_is() -> None:
    message = Sms(LONDON, "a" * 1599 + "…")
    assert SmsRules(fold_typography=True).admit(message) is message


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"max_segments": 0}, "max_segments"),
        ({"allowed_prefixes": [""]}, "allowed_prefixes"),
        ({"allowed_prefixes": ["+1", "49"]}, "allowed_prefixes"),
        ({"allowed_prefixes": ["+0"]}, "allowed_prefixes"),
        ({"allowed_prefixes": "+49"}, "allowed_prefixes"),
        ({"allowed_prefixes": ["+١"]}, "allowed_prefixes"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        SmsRules(**rules)
    assert caught.value.field == field


def test_a_service_stores_what_its_rules_admit_and_nothing_else() -> None:
    async def work() -> None:
        store = MemoryRepository()
        rules = SmsRules(allowed_prefixes=["+44"], fold_typography=True)
        service = NotificationService(store, sms_rules=rules)
        sent = await service.send(Sms(LONDON, "It’s on"))
        assert (await store.get(sent.id)).message.body == "It's on"
        with pytest.raises(InvalidValue, match="phone_number"):
            await service.send(Sms(PhoneNumber("+15550100123"), "It’s on"))
        assert len(store._stored) == 1

    asyncio.run(work())
