"""What an operator's rules for SMS make of a request."""

# ruff: noqa: RUF001 (typography is the point)

from __future__ import annotations

import pytest
from support.grpc_serving import CountingRepository, serving
from support.patience import patient

from pinguin_core import PhoneNumber, Sms, SmsRules
from pinguin_grpc.client import CallRefused

HERE, ELSEWHERE = PhoneNumber("+15550100123"), PhoneNumber("+33199000123")
RULES = SmsRules(max_segments=1, allowed_prefixes=["+1"], fold_typography=True)


@pytest.mark.parametrize(
    ("message", "field"),
    [(Sms(ELSEWHERE, "Hello"), "recipient"), (Sms(HERE, "ж" * 71), "message")],
)
@patient
async def test_what_they_refuse_is_a_bad_field_and_leaves_nothing_behind(
    message: Sms, field: str
) -> None:
    repository = CountingRepository()
    async with serving(repository, sms_rules=RULES) as service, service.client() as client:
        with pytest.raises(CallRefused) as refused:
            await client.send(message)
    assert refused.value.status_name == "INVALID_ARGUMENT"
    assert [each.field for each in refused.value.field_violations] == [field]
    assert repository.rows == 0


@patient
async def test_what_is_folded_is_answered_folded_and_repeated_as_the_same() -> None:
    repository = CountingRepository()
    async with serving(repository, sms_rules=RULES) as service, service.client() as client:
        message = Sms(HERE, "It’s " + "a" * 155)
        sent = await client.send(message, idempotency_key="order-42")
        again = await client.send(message, idempotency_key="order-42")
    assert (sent.body, sent.sms_segments) == ("It's " + "a" * 155, 1)
    assert again == sent
    assert repository.rows == 1
