"""Each of Pinguin's errors has its status; what nobody foresaw gives nothing away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.grpc_serving import Serving, run, serving

from pinguin_core import (
    Channel,
    DuplicateNotification,
    Email,
    EmailAddress,
    InvalidTransition,
    Notification,
    NotificationId,
    NotificationNotFound,
    PhoneNumber,
    Sms,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.client import CallRefused
from pinguin_grpc.errors import UNFORESEEN

MAIL = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
PRIVATE = "postgresql://pinguin:hunter2@db/ada@example.com"


class BrokenRepository(MemoryRepository):
    """Raises the same error whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def add(self, notification: Notification) -> None:
        raise self._error

    async def get(self, notification_id: NotificationId) -> Notification:
        raise self._error


async def refusal(service: Serving) -> CallRefused:
    async with service.client() as client:
        with pytest.raises(CallRefused) as caught:
            await client.send(MAIL)
        return caught.value


ERRORS: dict[str, tuple[Callable[[], Exception], str, str]] = {
    "store unreachable": (lambda: StoreUnavailable(PRIVATE), "UNAVAILABLE", "try again later"),
    "store full": (lambda: StoreFull(PRIVATE), "RESOURCE_EXHAUSTED", "is full"),
    "a bug": (lambda: KeyError(PRIVATE), "INTERNAL", UNFORESEEN),
    "a time-out of the store's": (lambda: TimeoutError(PRIVATE), "INTERNAL", UNFORESEEN),
    "an id twice": (lambda: DuplicateNotification(PRIVATE), "INTERNAL", UNFORESEEN),
    "an assertion": (lambda: AssertionError(PRIVATE), "INTERNAL", UNFORESEEN),
}


@pytest.mark.parametrize(("make_error", "status", "text"), ERRORS.values(), ids=ERRORS)
def test_the_services_own_trouble_is_told_to_operators_and_not_to_callers(
    make_error: Callable[[], Exception], status: str, text: str
) -> None:
    error = make_error()

    async def call() -> tuple[CallRefused, list[tuple[str, Exception]]]:
        async with serving(BrokenRepository(error)) as service:
            return await refusal(service), service.observer.troubles

    refused, troubles = run(call())

    assert status == refused.status_name
    assert text in refused.message
    assert "hunter2" not in str(refused)
    assert [("SendNotification", error)] == troubles


CALLERS_FAULT: dict[str, tuple[Exception, str]] = {
    "not found": (NotificationNotFound("notif-1"), "NOT_FOUND"),
    "wrong state": (InvalidTransition("cancel", "Sent"), "FAILED_PRECONDITION"),
}


@pytest.mark.parametrize(("error", "status"), CALLERS_FAULT.values(), ids=CALLERS_FAULT)
def test_what_callers_do_wrong_is_no_trouble_for_operators(error: Exception, status: str) -> None:
    async def call() -> tuple[CallRefused, list[tuple[str, Exception]]]:
        async with serving(BrokenRepository(error)) as service:
            return await refusal(service), service.observer.troubles

    refused, troubles = run(call())

    assert (status, str(error), []) == (refused.status_name, refused.message, troubles)


def test_a_disabled_channel_says_which_setting_would_enable_it() -> None:
    async def call() -> CallRefused:
        disabled = {Channel.SMS: "set TWILIO_ACCOUNT_SID"}
        async with (
            serving(MemoryRepository(), disabled=disabled) as service,
            service.client() as client,
        ):
            with pytest.raises(CallRefused) as caught:
                await client.send(Sms(PhoneNumber("+15550100123"), "Good news"))
            await client.send(MAIL)
            return caught.value

    refused = run(call())

    assert refused.status_name == "FAILED_PRECONDITION"
    assert "TWILIO_ACCOUNT_SID" in refused.message


def test_a_cancelled_store_answers_the_caller_and_serves_on() -> None:
    """Nothing but the loss of its caller may leave a call without an answer."""

    class Cancelled(MemoryRepository):
        async def add(self, notification: Notification) -> None:
            inner = asyncio.ensure_future(super().add(notification))
            inner.cancel()
            await inner

    async def call() -> CallRefused:
        async with serving(Cancelled()) as service:
            return await refusal(service)

    assert run(call()).status_name == "INTERNAL"
