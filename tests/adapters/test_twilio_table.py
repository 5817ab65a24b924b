"""What becomes of an attempt, whatever happens to it: the table, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import pytest
from support.patience import jump, patient
from support.scripted_twilio import SID, always, bare_server, saying

from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import (
    DeliveryError,
    NotificationId,
    PermanentDeliveryError,
    PhoneNumber,
    ProviderMisconfigured,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON

Event = Callable[[], AbstractAsyncContextManager[str]]
SMS = Sms(PhoneNumber("+15550100123"), "Hello")
CONNECT, OPERATION = timedelta(seconds=5), timedelta(seconds=30)

SENT: Final = "sent"
REFUSED: Final = "refused"
BUSY: Final = "to be tried again, for the provider's sake"
NOT_NOW: Final = "to be tried again, for the recipient's sake"
UNCLEAR: Final = "in doubt, for the provider's sake"
MISCONFIGURED: Final = "held, until an operator acts"


def answering(status: int, code: int | None = None) -> Event:
    @asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        body = {"sid": SID} if status < 300 else {"code": code, "message": "no"}
        async with always(status, body) as twilio:
            yield twilio.base_url

    return serve


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    async with always(201) as twilio:
        base_url = twilio.base_url
    yield base_url


@asynccontextmanager
async def nowhere() -> AsyncIterator[str]:
    yield "http://no-such-host.invalid"


@asynccontextmanager
async def silence_before_the_request() -> AsyncIterator[str]:
    """A TLS handshake that is never answered."""

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)
        jump(CONNECT)
        await asyncio.Event().wait()

    async with bare_server(talk) as base_url:
        yield base_url.replace("http:", "https:")


@asynccontextmanager
async def silence_after_the_request() -> AsyncIterator[str]:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"Body=")
        jump(OPERATION)
        await asyncio.Event().wait()

    async with bare_server(talk) as base_url:
        yield base_url


def lost_after(answer: bytes) -> Event:
    return lambda: bare_server(saying(answer))


TABLE: Final[list[tuple[str, Event, str]]] = [
    ("201", answering(201), SENT),
    ("200", answering(200), SENT),
    ("429", answering(429), BUSY),
    ("429, 20429", answering(429, 20429), BUSY),
    ("408", answering(408), BUSY),
    ("425", answering(425), BUSY),
    ("400, 21611", answering(400, 21611), BUSY),
    ("429, 14107", answering(429, 14107), NOT_NOW),
    *[
        (f"400, {code}", answering(400, code), REFUSED)
        for code in (21211, 21614, 21610, 21612, 21408, 21617, 99999)
    ],
    *[
        (f"400, {code}", answering(400, code), MISCONFIGURED)
        for code in (
            *(20003, 21212, 21606, 21608),
            *(21601, 21603, 21607, 21659, 21660, 21661),
            *(20005, 10001, 90010),
        )
    ],
    ("400", answering(400), BUSY),
    ("413", answering(413), BUSY),
    ("400, a proxy's code", answering(400, 400), BUSY),
    ("301", answering(301), MISCONFIGURED),
    ("407", answering(407), MISCONFIGURED),
    ("401", answering(401), MISCONFIGURED),
    ("401, 20003", answering(401, 20003), MISCONFIGURED),
    ("403", answering(403), MISCONFIGURED),
    ("404, 20404", answering(404, 20404), MISCONFIGURED),
    ("500", answering(500), UNCLEAR),
    ("502", answering(502), UNCLEAR),
    ("503, 20503", answering(503, 20503), UNCLEAR),
    ("connection refused", nobody, BUSY),
    ("no address", nowhere, BUSY),
    ("silence before the request", silence_before_the_request, BUSY),
    ("silence after the request", silence_after_the_request, UNCLEAR),
    ("lost after the request", lost_after(b""), UNCLEAR),
    ("lost in the reply's head", lost_after(b"HTTP/1.1 201 Cre"), UNCLEAR),
    (
        "lost in the reply's body",
        lost_after(b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"sid"'),
        UNCLEAR,
    ),
    ("garbage", lost_after(b"garbage\r\n\r\n"), UNCLEAR),
]


@pytest.mark.parametrize(
    ("event", "outcome"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
@patient
async def test_each_event_has_its_outcome(event: Event, outcome: str) -> None:
    async with event() as base_url:
        assert outcome == outcome_of(await attempt(base_url))


def retry_in(seconds: int) -> list[str]:
    return [
        str(seconds),
        format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True),
    ]


@pytest.mark.parametrize("form", [0, 1], ids=["seconds", "a date"])
@pytest.mark.parametrize("status", [429, 503])
@patient
async def test_twilio_says_when_to_come_back(status: int, form: int) -> None:
    header = {"Retry-After": retry_in(600)[form]}
    async with always(status, {}, **header) as twilio:
        error = await attempt(twilio.base_url)
    assert isinstance(error, TransientDeliveryError)
    assert error.retry_after is not None
    assert timedelta(seconds=500) < error.retry_after <= timedelta(seconds=600)


async def attempt(base_url: str) -> Receipt | DeliveryError:
    account = TwilioAccount("AC123", "made up", PhoneNumber("+15550100999"), base_url)
    timeouts = {"connect_timeout": CONNECT, "operation_timeout": OPERATION}
    async with TwilioSender(account, **timeouts) as sender:
        try:
            return await sender.send(SMS, id=NotificationId("notif-1"), date=NOON)
        except DeliveryError as error:
            return error


def outcome_of(what: Receipt | DeliveryError) -> str:
    match what:
        case Receipt():
            return SENT
        case PermanentDeliveryError():
            return REFUSED
        case ProviderMisconfigured():
            return MISCONFIGURED
        case TransientDeliveryError(ambiguous=ambiguous, of_provider=True):
            return UNCLEAR if ambiguous else BUSY
        case TransientDeliveryError(ambiguous=False):
            return NOT_NOW
        case _:
            return repr(what)
