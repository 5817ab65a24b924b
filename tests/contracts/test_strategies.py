"""What is drawn covers every kind, and shrinks to what is easy to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import find, settings
from hypothesis.strategies import SearchStrategy

from pinguin_core import (
    Email,
    EmailAddress,
    IdempotencyKey,
    Notification,
    NotificationId,
    Outcome,
    PermanentDeliveryError,
    PhoneNumber,
    ProviderDown,
    ProviderMisconfigured,
    Queued,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.notification import HELD
from pinguin_core.testing import strategies
from pinguin_core.testing.fakes import NOON

SEARCH: Final = settings(max_examples=2_000, derandomize=True, database=None, deadline=None)
EMAIL: Final = Email(EmailAddress("ada@example.com"), "Hi", "Hello")
SMS: Final = Sms(PhoneNumber("+15550100123"), "Hello")


def anything(_: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("drawn", "easiest"),
    [
        (strategies.moments(), NOON),
        (strategies.notification_ids(), NotificationId("notif-1")),
        (strategies.idempotency_keys(), IdempotencyKey("key-1")),
        (strategies.subjects(), "Hi"),
        (strategies.reasons(), "450 busy"),
        (strategies.emails(), EMAIL),
        (strategies.sms(), SMS),
        (
            strategies.notifications(),
            Notification(NotificationId("notif-1"), EMAIL, Queued(NOON), NOON, NOON),
        ),
    ],
)
def test_what_is_drawn_shrinks_to_what_is_easy_to_read(
    drawn: SearchStrategy[Any], easiest: object
) -> None:
    assert easiest == find(drawn, anything, settings=SEARCH)


@pytest.mark.parametrize(
    "is_it",
    [
        lambda it: isinstance(it, Receipt) and it.found,
        lambda it: isinstance(it, PermanentDeliveryError) and not it.asked,
        lambda it: type(it) is TransientDeliveryError and it.of_provider,
        lambda it: type(it) is TransientDeliveryError and it.ambiguous,
        lambda it: type(it) is ProviderDown,
        lambda it: type(it) is ProviderMisconfigured,
    ],
)
def test_every_kind_of_outcome_is_drawn(is_it: Callable[[Any], bool]) -> None:
    find(strategies.outcomes(), is_it, settings=SEARCH)


@pytest.mark.parametrize(
    "has_lived",
    [
        lambda it: it.last_error.startswith(HELD),
        lambda it: it.version > 1 and isinstance(it.state, Queued) and it.attempts == 0,
        lambda it: isinstance(it.state, Queued) and it.history and not it.retries,
        lambda it: any(attempt.outcome is Outcome.CRASHED for attempt in it.history),
    ],
)
def test_every_kind_of_step_is_lived_through(has_lived: Callable[[Any], bool]) -> None:
    find(strategies.lived_notifications(), has_lived, settings=SEARCH)
