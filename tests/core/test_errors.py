from __future__ import annotations

from datetime import timedelta

import pytest

from pinguin_core import (
    ChannelDisabled,
    DeliveryError,
    DuplicateNotification,
    IdempotencyConflict,
    InvalidTransition,
    InvalidValue,
    NotificationNotFound,
    PermanentDeliveryError,
    PinguinError,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
    TransientDeliveryError,
)

TOLD = {
    InvalidValue("subject", "must be one line"): "subject: must be one line",
    InvalidTransition("cancel", "Sent"): "a notification that is Sent cannot cancel",
    NotificationNotFound("notif-1"): "no notification has the id notif-1",
    DuplicateNotification("notif-1"): (
        "a notification with the id notif-1, or its idempotency key, is already stored"
    ),
    IdempotencyConflict("notif-1"): (
        "idempotency_key: was already used for notif-1, with a different message or time;"
        " use a new key for a new request"
    ),
    StaleNotification("notif-1"): "the stored notification notif-1 was changed in the meantime",
    ChannelDisabled("sms", "set X"): "sms is not configured: set X",
    StoreUnavailable("locked"): "locked",
    StoreFull("no room"): "no room",
    TransientDeliveryError("450 busy", retry_after=timedelta(1), ambiguous=True): "450 busy",
    PermanentDeliveryError("550 no such user"): "550 no such user",
}


@pytest.mark.parametrize(("error", "text"), TOLD.items(), ids=lambda it: type(it).__name__)
def test_each_error_tells_its_story_and_belongs_to_the_tree(error: PinguinError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, PinguinError)


def test_errors_can_be_caught_by_the_names_that_python_has_for_them() -> None:
    assert issubclass(InvalidValue, ValueError)
    assert issubclass(NotificationNotFound, LookupError)
    assert issubclass(TransientDeliveryError, DeliveryError)
    assert issubclass(PermanentDeliveryError, DeliveryError)
