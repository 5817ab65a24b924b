from __future__ import annotations

import asyncio
import base64
import ssl
from datetime import timedelta

import pytest
import trustme
from aiohttp import web
from support.patience import jump, patient
from support.scripted_twilio import SID, Posted, ScriptedTwilio, always, bare_server, saying

from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import (
    Attempt,
    NotificationId,
    Outcome,
    PhoneNumber,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON

TOKEN = "f00d" * 8
SMS = Sms(PhoneNumber("+15550100123"), "Your code is 4711 & valid; 100 % ✓")
OPERATION = timedelta(seconds=30)


def account(base_url: str) -> TwilioAccount:
    return TwilioAccount("AC123", TOKEN, PhoneNumber("+15550100999"), base_url)


async def send(sender: TwilioSender, sms: Sms = SMS) -> Receipt:
    return await sender.send(sms, id=NotificationId("notif-1"), date=NOON)


async def error_from(base_url: str) -> TransientDeliveryError:
    async with TwilioSender(account(base_url)) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert TOKEN not in repr(caught.value)
    assert SMS.to.value not in caught.value.reason
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@patient
async def test_an_sms_is_posted_as_twilio_wants_it() -> None:
    async with ScriptedTwilio() as twilio, TwilioSender(account(twilio.base_url)) as sender:
        assert (await send(sender)).provider_message_id == SID
    (request,) = twilio.requests
    assert request.path == "/2010-04-01/Accounts/AC123/Messages.json"
    assert request.form == {"To": "+15550100123", "From": "+15550100999", "Body": SMS.body}
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    scheme, _, credentials = request.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", f"AC123:{TOKEN}")


@pytest.mark.parametrize("status", [200, 201, 202])
@patient
async def test_any_2xx_with_a_sid_is_sent(status: int) -> None:
    async with (
        always(status, {"sid": SID}) as twilio,
        TwilioSender(account(twilio.base_url)) as sender,
    ):
        assert (await send(sender)).provider_message_id == SID


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/", "http://127.0.0.1:1/proxy//"])
def test_slashes_at_the_end_of_the_base_url_do_not_matter(base_url: str) -> None:
    assert "//2010" not in account(base_url).messages_url


@patient
async def test_a_sid_cannot_leave_its_place_in_the_url() -> None:
    async with ScriptedTwilio() as twilio:
        odd = TwilioAccount("../x?y#z", TOKEN, SMS.to, twilio.base_url)
        async with TwilioSender(odd) as sender:
            await send(sender)
    (request,) = twilio.requests
    assert request.path == "/2010-04-01/Accounts/..%2Fx%3Fy%23z/Messages.json"


def test_the_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(account("http://x")) + repr(TwilioSender(account("http://x")))


@patient
async def test_connections_are_reused() -> None:
    async with ScriptedTwilio() as twilio, TwilioSender(account(twilio.base_url)) as sender:
        for _ in range(3):
            await send(sender)
    assert len({request.peer for request in twilio.requests}) == 1


@patient
async def test_concurrent_messages_do_not_mix() -> None:
    async def answer(posted: Posted) -> web.Response:
        return web.json_response({"sid": "SM" + posted.form["Body"]}, status=201)

    async with ScriptedTwilio(answer) as twilio, TwilioSender(account(twilio.base_url)) as sender:
        receipts = await asyncio.gather(
            *(send(sender, Sms(SMS.to, str(number))) for number in range(200))
        )
    assert receipts == [Receipt(f"SM{number}", "201") for number in range(200)]


@patient
async def test_redirects_are_not_followed() -> None:
    """The token must go nowhere but where the account says."""
    async with (
        ScriptedTwilio() as elsewhere,
        always(307, Location=f"{elsewhere.base_url}/x") as twilio,
    ):
        error = await error_from(twilio.base_url)
    assert error.reason == "Twilio: HTTP 307 (check the account's configuration)"
    assert not error.ambiguous
    assert not elsewhere.requests


@patient
async def test_the_environment_s_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedTwilio() as proxy, ScriptedTwilio() as twilio:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        async with TwilioSender(account(twilio.base_url)) as sender:
            await send(sender)
    assert not proxy.requests


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"created",
        b"\xff\xfe\x00",
        b'{"sid": 7}',
        b'{"sid": ""}',
        b'{"sid": "SM\\n1"}',
        b'{"sid": null}',
        b"[" * 60_000,
        b'{"sid": "SM1", "padding": "' + b"x" * 100_000 + b'"}',
    ],
    ids=lambda body: str(body[:24]),
)
@patient
async def test_success_without_a_readable_sid_is_ambiguous(body: bytes) -> None:
    async def answer(_: Posted) -> web.Response:
        return web.Response(status=201, body=body)

    async with ScriptedTwilio(answer) as twilio:
        error = await error_from(twilio.base_url)
    assert error.reason == "Twilio: HTTP 201, without the message's SID"
    assert error.ambiguous


@patient
async def test_an_endless_body_is_read_no_further_than_needed() -> None:
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()
            written += 65536

    async with bare_server(talk) as base_url:
        error = await error_from(base_url)
    assert error.ambiguous
    assert written < 20_000_000


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Body 'Your one-time code is 493817' is not allowed", "Body '•••' is not allowed"),
        ("blocked: YOUR ONE-TIME CODE is 49...", "blocked: •••..."),
        ("code 493817 is not allowed", "code ••• is not allowed"),
        ("The 'To' number is not a valid phone number.",) * 2,
    ],
)
@pytest.mark.parametrize("looking", [False, True])
@patient
async def test_no_words_of_the_text_are_repeated(*, looking: bool, said: str, left: str) -> None:
    sms = Sms(SMS.to, "Your one-time code is 493817, do not share it")
    answer = {"code": 20429, "message": said}
    doubt = Attempt(1, NOON, NOON, Outcome.UNCLEAR)

    async def is_taken(_: str) -> bool:
        return False

    async with (
        always(429, answer) as twilio,
        TwilioSender(account(twilio.base_url), settling=timedelta(0)) as sender,
    ):
        name = NotificationId("notif-1")
        asking = (
            sender.find_sent(sms, id=name, doubts=[doubt], is_taken=is_taken)
            if looking
            else send(sender, sms)
        )
        with pytest.raises(TransientDeliveryError) as caught:
            await asking
    what = " (looking up an earlier attempt)" if looking else ""
    assert caught.value.reason == f"Twilio: HTTP 429, error 20429: {left}{what}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "Twilio: no answer: the connection was lost"),
        (b"gibberish\r\n\r\n", "Twilio: no answer: the reply is unintelligible"),
        (b"HTTP/1.1 2", "Twilio: no answer: the connection was lost"),
        (b"HTTP/1.1 999999 ?\r\n\r\n", "Twilio: no answer: the reply is unintelligible"),
        (b"HTTP/1.1 201 ok\r\nX: " + b"x" * 99_999, "Twilio: no answer: "),
        (b"HTTP/1.1 201 ok\r\nContent-Length: 50\r\n\r\n{", "Twilio: no answer: the reply was cut"),
    ],
    ids=lambda answer: str(answer[:24]),
)
@patient
async def test_what_breaks_after_the_request_is_ambiguous(answer: bytes, reason: str) -> None:
    async with bare_server(saying(answer)) as base_url:
        error = await error_from(base_url)
    assert error.reason.startswith(reason)
    assert error.ambiguous


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
@patient
async def test_silence_after_the_request_is_ambiguous(answer: bytes) -> None:
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"Body=")
        writer.write(answer)
        asked.set()
        await asyncio.Event().wait()

    async with bare_server(talk) as base_url, TwilioSender(account(base_url)) as sender:
        sending = asyncio.create_task(send(sender))
        await asked.wait()
        jump(OPERATION + timedelta(seconds=1))
        with pytest.raises(TransientDeliveryError) as caught:
            await sending
    assert caught.value.reason == "Twilio: no answer: timed out"
    assert caught.value.ambiguous


@patient
async def test_a_refused_connection_is_safe_to_repeat() -> None:
    async with ScriptedTwilio() as twilio:
        base_url = twilio.base_url
    error = await error_from(base_url)
    assert error.reason == "Twilio: cannot connect: Connection refused"
    assert not error.ambiguous


@patient
async def test_a_host_without_an_address_is_safe_to_repeat() -> None:
    error = await error_from("http://no-such-host.invalid")
    assert error.reason == "Twilio: cannot connect: the host name has no address"
    assert not error.ambiguous


@pytest.mark.parametrize("base_url", ["", "api.twilio.com", "ftp://127.0.0.1", "http://[::1"])
@patient
async def test_a_base_url_that_is_none_is_safe_to_repeat(base_url: str) -> None:
    error = await error_from(base_url)
    assert error.reason == "Twilio: cannot connect: the base URL is not one of HTTP"
    assert not error.ambiguous


@patient
async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await error_from(f"https://127.0.0.1:{port}")
    assert error.reason.startswith("Twilio: cannot connect: the certificate was not accepted: ")
    assert not error.ambiguous


@patient
async def test_a_server_without_tls_is_not_spoken_to() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with bare_server(talk) as base_url:
        error = await error_from(base_url.replace("http:", "https:"))
    assert error.reason.startswith("Twilio: cannot connect: ")
    assert not error.ambiguous


@patient
async def test_cancelling_leaves_the_sender_usable() -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def answer(posted: Posted) -> web.Response:
        if posted.form["Body"] == "hang":
            asked.set()
            await released.wait()
        return web.json_response({"sid": SID}, status=201)

    async with ScriptedTwilio(answer) as twilio, TwilioSender(account(twilio.base_url)) as sender:
        sending = asyncio.create_task(send(sender, Sms(SMS.to, "hang")))
        await asked.wait()
        sending.cancel()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await send(sender)).provider_message_id == SID


@patient
async def test_a_sender_works_inside_its_block_only() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await send(TwilioSender(account("http://127.0.0.1:1")))
