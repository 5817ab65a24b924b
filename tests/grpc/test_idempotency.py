"""A call that comes again with its idempotency key, in the field or in the metadata."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from grpclib.const import Status as Code
from support.grpc_serving import CountingRepository, serving
from support.patience import patient
from support.raw_http2 import AUTHORISED, SEND, Answer, RawConnection, framed, raw_connection

from pinguin_core import Channel, Email, EmailAddress, Receipt
from pinguin_core.testing.fakes import NOON
from pinguin_grpc.codec import decode, encode, make
from pinguin_grpc.wire.pinguin import NotificationRequest, NotificationResponse, Status

LATER = NOON + timedelta(days=1)


def request(**values: object) -> bytes:
    good = {"recipient": "ada@example.com", "subject": "Hello", "message": "Good news"}
    return framed(encode(make(NotificationRequest, **{**good, **values})))


async def send(connection: RawConnection, *metadata: str, **values: object) -> Answer:
    headers = [*AUTHORISED, *(("idempotency-key", key) for key in metadata)]
    return await connection.call(SEND, request(**values), headers)


def told(answer: Answer) -> NotificationResponse:
    assert answer.status is Code.OK, answer.text
    return decode(NotificationResponse, answer.data[5:])


WAYS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "in the field": ((), {"idempotency_key": "order-42"}),
    "in the metadata": (("order-42",), {}),
    "in both": (("order-42",), {"idempotency_key": "order-42"}),
    "in the field, beside empty metadata": (("",), {"idempotency_key": "order-42"}),
}


@patient
@pytest.mark.parametrize(("metadata", "values"), WAYS.values(), ids=WAYS)
async def test_a_call_that_comes_again_makes_no_second_notification(
    metadata: tuple[str, ...], values: dict[str, Any]
) -> None:
    """Whichever way the key came the first time."""
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        first = told(await send(connection, *metadata, **values))
        answers = [told(await send(connection, *way[0], **way[1])) for way in WAYS.values()]

    assert {first.notification_id} == {answer.notification_id for answer in answers}
    assert repository.rows == 1


@patient
async def test_the_first_notification_is_answered_as_it_stands_by_now() -> None:
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        first = told(await send(connection, idempotency_key="order-42"))
        (claimed,) = await repository.claim_due(Channel.EMAIL, NOON, timedelta(minutes=1), 1)
        await repository.save(claimed.succeed(Receipt("<1@example.com>", "250"), NOON))
        again = told(await send(connection, idempotency_key="order-42"))

    assert first.status == Status.QUEUED
    assert again.status == Status.SENT
    assert first.notification_id == again.notification_id
    assert again.provider_message_id == "<1@example.com>"
    assert [attempt.code for attempt in again.attempts] == ["250"]


@patient
@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": "bob@example.com"},
        {"subject": "Bye"},
        {"message": "Bad news"},
        {"scheduled_time": LATER},
        {"notification_type": 1, "recipient": "+15550100123"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_key_that_comes_again_with_something_else_is_refused(
    changes: dict[str, object],
) -> None:
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        first = told(await send(connection, idempotency_key="order-42"))
        other = await send(connection, idempotency_key="order-42", **changes)
        troubles = service.observer.troubles

    assert other.status is Code.ALREADY_EXISTS
    assert other.text.startswith("idempotency_key: ")
    assert first.notification_id in other.text
    assert "use a new key for a new request" in other.text
    assert "order-42" not in other.text
    assert (repository.rows, troubles) == (1, [])


@patient
@pytest.mark.parametrize("metadata", [(), ("",)], ids=["absent", "empty"])
async def test_without_a_key_each_call_makes_its_own(metadata: tuple[str, ...]) -> None:
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        for _ in range(2):
            told(await send(connection, *metadata, idempotency_key=""))

    assert repository.rows == 2


@patient
async def test_keys_of_two_places_that_differ_are_refused_by_both_names() -> None:
    async with serving(CountingRepository()) as service, raw_connection(service.port) as connection:
        answer = await send(connection, "order-43", idempotency_key="order-42")

    assert answer.status is Code.INVALID_ARGUMENT
    assert "idempotency_key" in answer.text
    assert "idempotency-key" in answer.text
    assert "order" not in answer.text


@patient
@pytest.mark.parametrize("name", ["idempotency_key", "idempotency-key"])
async def test_a_key_has_at_most_255_characters(name: str) -> None:
    async with serving(CountingRepository()) as service, raw_connection(service.port) as connection:

        async def send_key(key: str) -> Answer:
            if name == "idempotency_key":
                return await send(connection, idempotency_key=key)
            return await send(connection, key)

        told(await send_key("k" * 255))
        refused = await send_key("k" * 256)

    assert refused.text == f"{name}: must have at most 255 characters"


@patient
async def test_calls_at_the_same_time_on_one_connection_keep_their_own_keys() -> None:
    """The metadata of one call is never taken for that of another, nor kept for the next."""
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        streams = [
            connection.begin(SEND, [*AUTHORISED, ("idempotency-key", f"order-{n % 10}")])
            for n in range(40)
        ]
        keyless = connection.begin(SEND)
        for stream in reversed([*streams, keyless]):
            connection.send(stream, request())
        ids = [told(await connection.answer(stream)).notification_id for stream in streams]
        alone = told(await connection.answer(keyless)).notification_id

    assert len(set(ids)) == 10
    assert all(ids[n] == ids[n % 10] for n in range(40))
    assert alone not in ids
    assert repository.rows == 11


@patient
async def test_of_many_that_come_at_the_same_time_one_is_accepted() -> None:
    repository = CountingRepository()
    async with serving(repository) as service, service.client() as client:
        mail = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
        sent = await asyncio.gather(*(client.send(mail, idempotency_key="k") for _ in range(50)))

    assert len({each.id for each in sent}) == 1
    assert repository.rows == 1
