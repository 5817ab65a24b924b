"""How a doubt is cleared up by Twilio's own list."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from support.patience import jump, patient
from support.scripted_twilio import Posted, ScriptedTwilio, always, bare_server, saying

from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_adapters.twilio_sender.attribution import REMEMBERED, Attributions
from pinguin_adapters.twilio_sender.listing import MOST_PAGES
from pinguin_core import (
    Attempt,
    Channel,
    Notification,
    NotificationId,
    Outcome,
    PhoneNumber,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON, MemoryRepository

TOKEN = "f00d" * 8
SMS = Sms(PhoneNumber("+15550100123"), "The disk of web-1 is full")
SETTLING = timedelta(seconds=5)


def sender_to(base_url: str, settling: timedelta = timedelta(0)) -> TwilioSender:
    account = TwilioAccount("AC123", TOKEN, PhoneNumber("+15550100999"), base_url)
    return TwilioSender(account, settling=settling)


async def find(
    sender: TwilioSender, ended_at: datetime | None = None, *, name: str = "notif-1"
) -> Receipt | None:
    now = ended_at or datetime.now(UTC)
    doubts = [Attempt(1, now, now, Outcome.UNCLEAR)]
    return await sender.find_sent(SMS, id=NotificationId(name), doubts=doubts, is_taken=by_nobody)


async def by_nobody(provider_message_id: str) -> bool:  # noqa: ARG001 (as the port has it)
    return False


def listed(*sids: str) -> dict[str, object]:
    return {
        "messages": [
            {
                "sid": sid,
                "to": SMS.to.value,
                "from": "+15550100999",
                "body": SMS.body,
                "date_created": format_datetime(datetime.now(UTC)),
            }
            for sid in sids
        ]
    }


@patient
async def test_the_list_is_asked_for_as_twilio_wants_it() -> None:
    async with always(200, listed("SM1")) as twilio, sender_to(twilio.base_url) as sender:
        found = await find(sender)
    assert found == Receipt(
        "SM1", "200", "found among Twilio's messages: an earlier attempt had sent it", found=True
    )
    (request,) = twilio.requests
    url = urlsplit(request.path)
    assert url.path == "/2010-04-01/Accounts/AC123/Messages.json"
    assert parse_qs(url.query, strict_parsing=True) == {
        "To": ["+15550100123"],
        "From": ["+15550100999"],
        "PageSize": ["1000"],
    }
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.form == {}


@patient
async def test_of_two_that_match_one_is_taken_and_nothing_is_certain() -> None:
    async with always(200, listed("SM1", "SM2")) as twilio, sender_to(twilio.base_url) as sender:
        first, second = await find(sender), await find(sender, name="notif-2")
        assert await find(sender, name="notif-3") is None
    assert first is not None
    assert second is not None
    assert {first.provider_message_id, second.provider_message_id} == {"SM1", "SM2"}
    assert (first.found, second.found) == (False, True)


@patient
async def test_twilio_is_given_time_to_list_what_it_took() -> None:
    async with (
        always(200, listed("SM1")) as twilio,
        sender_to(twilio.base_url, SETTLING) as sender,
    ):
        finding = asyncio.create_task(find(sender))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not twilio.requests
        jump(SETTLING)
        assert await finding is not None


@patient
async def test_it_takes_no_longer_when_the_clock_was_set_back() -> None:
    async with always(200, listed()) as twilio, sender_to(twilio.base_url, SETTLING) as sender:
        finding = asyncio.create_task(find(sender, ended_at=NOON))
        await asyncio.sleep(0)
        jump(SETTLING)
        assert await finding is None


@patient
async def test_what_was_long_ago_needs_no_time() -> None:
    async with always(200, listed()) as twilio, sender_to(twilio.base_url, SETTLING) as sender:
        assert await find(sender, ended_at=datetime(2026, 1, 1, tzinfo=UTC)) is None


@patient
async def test_what_a_twin_may_have_sent_is_not_taken_from_it() -> None:
    """While the same text is on its way to the same number, nobody knows whose a message is."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(posted: Posted) -> web.Response:
        if not posted.form:
            return web.json_response(listed("SM1"))
        asked.set()
        await go_on.wait()
        return web.json_response({"sid": "SM1"}, status=201)

    async with ScriptedTwilio(answer) as twilio, sender_to(twilio.base_url) as sender:
        twin = asyncio.create_task(sender.send(SMS, id=NotificationId("notif-2"), date=NOON))
        await asked.wait()
        with pytest.raises(TransientDeliveryError, match="on its way") as caught:
            await find(sender)
        assert not caught.value.of_provider
        go_on.set()
        assert (await twin).provider_message_id == "SM1"
        assert await find(sender) is None


@patient
async def test_what_another_process_has_sent_is_not_taken_from_it() -> None:
    """This one has never heard of it, but the store has."""
    store = MemoryRepository()
    now = datetime.now(UTC)
    await store.add(Notification.queue(NotificationId("notif-1"), SMS, now))
    [claimed] = await store.claim_due(Channel.SMS, now, timedelta(minutes=1), 1)
    await store.save(claimed.succeed(Receipt("SM1"), now))

    async def is_taken(provider_message_id: str) -> bool:
        return await store.has_sent_sms(provider_message_id, now)

    async with always(200, listed("SM1", "SM2")) as twilio, sender_to(twilio.base_url) as sender:
        doubts = [Attempt(1, now, now, Outcome.UNCLEAR)]
        found = await sender.find_sent(
            SMS, id=NotificationId("notif-2"), doubts=doubts, is_taken=is_taken
        )
    assert found is not None
    assert (found.provider_message_id, found.found) == ("SM2", True)


@pytest.mark.parametrize("body", [None, [], {}, {"messages": 7}])
@patient
async def test_what_is_no_list_tells_nothing(body: object) -> None:
    async with always(200, body) as twilio, sender_to(twilio.base_url) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await find(sender)
    assert caught.value.reason == "Twilio: HTTP 200 (looking up an earlier attempt)"
    assert not caught.value.ambiguous


@patient
async def test_a_lost_connection_tells_nothing_and_leaves_no_further_doubt() -> None:
    async with bare_server(saying(b"")) as base_url, sender_to(base_url) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await find(sender)
    assert caught.value.reason == (
        "Twilio: looking up an earlier attempt: no answer: the connection was lost"
    )
    assert caught.value.of_provider
    assert not caught.value.ambiguous


@patient
async def test_a_long_list_is_read_whole() -> None:
    long = Sms(SMS.to, "ż" * 1600)
    listing = listed(*(f"SM{number}" for number in range(1000)))
    for message in listing["messages"]:  # type: ignore[attr-defined]  # a list, made above
        message["body"] = long.body
    async with always(200, listing) as twilio, sender_to(twilio.base_url) as sender:
        now = datetime.now(UTC)
        doubt = Attempt(1, now, now, Outcome.UNCLEAR)
        assert await sender.find_sent(
            long, id=NotificationId("notif-1"), doubts=[doubt], is_taken=by_nobody
        )


def page_of(posted: Posted) -> int:
    return int(parse_qs(urlsplit(posted.path).query).get("Page", ["0"])[0])


@pytest.mark.parametrize("size", [1000, 50])
@patient
async def test_what_stands_on_a_later_page_is_found(size: int) -> None:
    listing = listed(*(f"SM{number}" for number in range(3 * size)))["messages"]
    assert isinstance(listing, list)
    for message in listing[:-1]:
        message["body"] = "Something else"

    async def answer(posted: Posted) -> web.Response:
        page = page_of(posted)
        path, more = urlsplit(posted.path).path, page < 2
        return web.json_response(
            {
                "messages": listing[page * size : (page + 1) * size],
                "next_page_uri": f"{path}?To=%2B15550100123&Page={page + 1}" if more else None,
            }
        )

    async with ScriptedTwilio(answer) as twilio, sender_to(twilio.base_url) as sender:
        found = await find(sender)
    assert found is not None
    assert found.provider_message_id == listing[-1]["sid"]
    assert [page_of(request) for request in twilio.requests] == [0, 1, 2]
    assert all(request.headers["Authorization"] for request in twilio.requests)
    assert urlsplit(twilio.requests[1].path).query == "To=%2B15550100123&Page=1"


@patient
async def test_what_moves_to_the_next_page_meanwhile_is_one_message() -> None:
    async def answer(posted: Posted) -> web.Response:
        following = None if page_of(posted) else "/more?Page=1"
        return web.json_response(listed("SM1") | {"next_page_uri": following})

    async with ScriptedTwilio(answer) as twilio, sender_to(twilio.base_url) as sender:
        found = await find(sender)
    assert found is not None
    assert found.found


@patient
async def test_pages_without_end_tell_nothing() -> None:
    async with (
        always(200, {"messages": [], "next_page_uri": "/more"}) as twilio,
        sender_to(twilio.base_url) as sender,
    ):
        with pytest.raises(TransientDeliveryError, match="too many messages") as caught:
            await find(sender)
    assert len(twilio.requests) == MOST_PAGES
    assert not caught.value.ambiguous
    assert not caught.value.of_provider


@patient
async def test_all_pages_together_take_no_longer_than_one() -> None:
    async def answer(posted: Posted) -> web.Response:
        jump(timedelta(seconds=2))
        return web.json_response({"messages": [], "next_page_uri": posted.path})

    async with ScriptedTwilio(answer) as twilio, sender_to(twilio.base_url) as sender:
        with pytest.raises(TransientDeliveryError, match="timed out") as caught:
            await find(sender)
    assert 1 < len(twilio.requests) <= 3
    assert not caught.value.ambiguous


@patient
async def test_a_page_that_cannot_be_read_tells_nothing() -> None:
    async def answer(posted: Posted) -> web.Response:
        if page_of(posted):
            return web.json_response({"code": 20503}, status=503)
        return web.json_response(listed("SM1") | {"next_page_uri": "/more?Page=1"})

    async with ScriptedTwilio(answer) as twilio, sender_to(twilio.base_url) as sender:
        with pytest.raises(TransientDeliveryError, match="HTTP 503"):
            await find(sender)


def test_only_the_latest_messages_are_remembered() -> None:
    attributions = Attributions()
    mine, other = NotificationId("notif-1"), NotificationId("notif-2")
    for number in range(REMEMBERED + 1):
        attributions.own(f"SM{number}", mine)
    may_own = [attributions.may_own(f"SM{number}", other) for number in (0, 1, REMEMBERED)]
    assert may_own == [True, False, False]
    assert attributions.may_own("SM1", mine)
