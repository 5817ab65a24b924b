"""Each phase of a delivery and each event in it, over a socket: what becomes of the message."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import pytest
import trustme
from support.certificates import certified
from support.mailing import OPERATION, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import (
    AndHangUp,
    Answer,
    BreakingOff,
    Flood,
    Held,
    ScriptedSmtp,
    Silence,
)

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_core import (
    DeliveryError,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)

LOGIN: Final = {"username": "postmaster", "password": "correct horse"}
REASONS: Final = {
    "CONNECT": "connect",
    "EHLO": "EHLO",
    "STARTTLS": "STARTTLS",
    "AUTH": "AUTH",
    "MAIL": "MAIL",
    "RCPT": "RCPT",
    "DATA": "DATA",
    "END": "end of message",
}


class Outcome(Enum):
    SENT = "sent"
    FAIL = "fail"
    LATER = "retry, for the recipient's sake"
    DOWN = "retry, for the relay's sake"
    HELD = "held until an operator has acted"
    UNCLEAR = "retry, and it may arrive twice"


SENT, FAIL, LATER, DOWN, HELD, UNCLEAR = Outcome

REPLIES: Final[list[tuple[str, str, Outcome]]] = [
    ("CONNECT", "220-two\r\n220 lines", SENT),
    ("CONNECT", "421 4.3.2 later", DOWN),
    ("CONNECT", "450 4.7.1 later", DOWN),
    ("CONNECT", "554 5.7.1 no service", DOWN),
    ("CONNECT", "250 hello", DOWN),
    ("EHLO", "421 4.3.2 later", DOWN),
    ("EHLO", "451 later", DOWN),
    ("EHLO", "502 5.5.1 what?", DOWN),
    ("EHLO", "550 5.7.1 bad name", DOWN),
    ("EHLO", "354 go ahead", DOWN),
    ("STARTTLS", "421 4.3.2 later", DOWN),
    ("STARTTLS", "454 4.7.0 not now", DOWN),
    ("STARTTLS", "501 5.5.4 what?", DOWN),
    ("STARTTLS", "250 ok", DOWN),
    ("AUTH", "421 4.7.0 later", DOWN),
    ("AUTH", "432 4.7.12 later", DOWN),
    ("AUTH", "454 4.7.0 later", DOWN),
    ("AUTH", "530 5.7.0 no", HELD),
    ("AUTH", "534 5.7.9 weak", HELD),
    ("AUTH", "535 5.7.8 wrong", HELD),
    ("AUTH", "535 wrong", HELD),
    ("AUTH", "599 5.7.8 wrong", HELD),
    ("AUTH", "250 ok", DOWN),
    ("MAIL", "251 ok", SENT),
    ("MAIL", "421 4.3.2 later", DOWN),
    ("MAIL", "450 4.7.1 too fast", DOWN),
    ("MAIL", "451 4.3.0 local error", DOWN),
    ("MAIL", "452 4.3.1 no room", DOWN),
    ("MAIL", "454 throttled", DOWN),
    ("MAIL", "530 5.7.0 log in first", HELD),
    ("MAIL", "550 5.7.1 not yours to send from", HELD),
    ("MAIL", "552 too large", FAIL),
    ("MAIL", "552 5.3.4 too large", FAIL),
    ("MAIL", "552 5.2.3 larger than we take", FAIL),
    ("MAIL", "553 5.1.8 bad sender", HELD),
    ("MAIL", "553 5.7.60 not yours to send from", HELD),
    ("MAIL", "555 5.5.4 unknown parameter", HELD),
    ("MAIL", "599 unheard of", HELD),
    ("MAIL", "354 go ahead", DOWN),
    ("RCPT", "250 ok", SENT),
    ("RCPT", "251 will forward", SENT),
    ("RCPT", "252 will try", SENT),
    ("RCPT", "421 4.3.2 shutting down", DOWN),
    ("RCPT", "450 4.2.1 greylisted", LATER),
    ("RCPT", "451 4.3.0 local error", LATER),
    ("RCPT", "452 4.2.2 full", LATER),
    ("RCPT", "452 4.3.1 no room", LATER),
    ("RCPT", "452 4.3.2 too many sessions", DOWN),
    ("RCPT", "454 4.7.0 throttled", DOWN),
    ("RCPT", "499 unheard of", LATER),
    ("RCPT", "530 5.7.0 log in first", HELD),
    ("RCPT", "550 no such user", FAIL),
    ("RCPT", "550 5.1.1 no such user", FAIL),
    ("RCPT", "550-5.1.1 no\r\n550 5.1.1 such user", FAIL),
    ("RCPT", "550 5.2.2 mailbox full", LATER),
    ("RCPT", "550 5.4.5 Daily user sending limit exceeded.", HELD),
    ("RCPT", "551 5.1.6 moved", FAIL),
    ("RCPT", "552 too much for it", LATER),
    ("RCPT", "552 5.1.1 no such user", FAIL),
    ("RCPT", "552 5.2.1 disabled", FAIL),
    ("RCPT", "552 5.2.2 mailbox full", LATER),
    ("RCPT", "552 4.1.1 codes that contradict each other", LATER),
    ("RCPT", "552 5.3.4 too large", FAIL),
    ("RCPT", "553 5.1.3 bad syntax", FAIL),
    ("RCPT", "599 unheard of", FAIL),
    ("RCPT", "354 go ahead", DOWN),
    ("DATA", "421 4.3.2 later", DOWN),
    ("DATA", "451 local error", LATER),
    ("DATA", "451 4.3.0 local error", DOWN),
    ("DATA", "451 4.7.1 greylisted", LATER),
    ("DATA", "454 throttled", DOWN),
    ("DATA", "530 5.7.0 log in first", HELD),
    ("DATA", "554 5.5.1 no valid recipients", FAIL),
    ("DATA", "250 ok", DOWN),
    ("END", "200 ok", SENT),
    ("END", "250 2.0.0 queued", SENT),
    ("END", "251 ok", SENT),
    ("END", "252 ok", SENT),
    ("END", "299 ok", SENT),
    ("END", "250-2.0.0 queued\r\n250 2.0.0 as 1", SENT),
    ("END", "421 4.3.2 shutting down", DOWN),
    ("END", "432 4.3.2 too many sessions", DOWN),
    ("END", "451 4.7.1 try again", LATER),
    ("END", "452 4.2.2 full", LATER),
    ("END", "452 4.3.1 no room", DOWN),
    ("END", "454 Throttling failure: Maximum sending rate exceeded.", DOWN),
    ("END", "530 5.7.0 log in first", HELD),
    ("END", "550 5.4.5 Daily SMTP relay sending limit exceeded.", HELD),
    ("END", "550 5.7.1 spam", FAIL),
    ("END", "552 5.3.4 too large", FAIL),
    ("END", "554 5.6.0 bad content", FAIL),
    ("END", "354 go on", UNCLEAR),
    ("QUIT", "421 4.3.2 shutting down", SENT),
    ("QUIT", "550 no", SENT),
]
LOST: Final[list[Answer]] = [
    Silence.HANG_UP,
    BreakingOff("250"),
    BreakingOff("250-first\r\n"),
    BreakingOff("250 all of it but the line's en"),
]
GARBAGE: Final = [
    *("gibberish", "1000 ok", "25 ok", "", "-250 ok", " 250 ok", "250-a\r\nb", "\xff\xfe"),
    "\0\0\0",
    "HTTP/1.1 400 Bad Request",
]
FLOODS: Final = [Flood("250-" + "x" * 10_000), Flood("250-and\r\n" * 1_000), Flood("\r\n" * 5_000)]


@dataclass(frozen=True)
class Kind:
    """A kind of relay: what it offers, and what it and its callers need for TLS."""

    offers: tuple[str, ...]
    context: ssl.SSLContext
    ca_file: Path


@pytest.fixture(scope="module", params=["one at a time", "pipelined"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """A relay with TLS and a login, so that a delivery has all the phases there are."""
    authority = trustme.CA()
    offers = ["PIPELINING"] if request.param == "pipelined" else []
    with authority.cert_pem.tempfile() as path:
        yield Kind((*offers, "STARTTLS", "AUTH PLAIN"), certified(authority), Path(path))


@asynccontextmanager
async def at_a_relay(
    kind: Kind, verb: str, answer: Answer
) -> AsyncIterator[tuple[ScriptedSmtp, SmtpSender]]:
    relay = ScriptedSmtp({verb: [answer]}, kind.offers, tls=kind.context)
    async with relay, sender_to(relay, ca_file=kind.ca_file, **LOGIN) as sender:
        yield relay, sender


async def outcome_of(
    kind: Kind, verb: str, answer: Answer, *, silent_at: str | None = None
) -> tuple[Outcome, str]:
    """Deliver one message, then another, which nothing happens to."""
    async with at_a_relay(kind, verb, answer) as (relay, sender):
        sending = asyncio.create_task(send(sender))
        if silent_at is not None:
            await relay.reached(silent_at)
            jump(OPERATION)
        outcome, reason = SENT, ""
        try:
            await sending
        except DeliveryError as error:
            outcome, reason = judged(error), error.reason
        await send(sender)
    return outcome, reason


def judged(error: DeliveryError) -> Outcome:
    match error:
        case PermanentDeliveryError():
            return FAIL
        case ProviderMisconfigured(ambiguous=False):
            return HELD
        case TransientDeliveryError(ambiguous=True, of_provider=True):
            return UNCLEAR
        case TransientDeliveryError(ambiguous=False, of_provider=of_provider):
            return DOWN if of_provider else LATER
        case _:
            raise AssertionError(repr(error))


def broken(verb: str) -> Outcome:
    """What a connection that breaks comes to: only after the dot may the message have arrived."""
    return {"END": UNCLEAR, "QUIT": SENT}.get(verb, DOWN)


@pytest.mark.parametrize(("verb", "reply", "expected"), REPLIES)
@patient
async def test_a_reply_in_its_phase(verb: str, reply: str, expected: Outcome, kind: Kind) -> None:
    outcome, reason = await outcome_of(kind, verb, reply)
    assert outcome == expected
    if outcome is not SENT:
        assert reason.startswith(f"SMTP {REASONS[verb]}: ")
        assert reply.rsplit("\r\n", maxsplit=1)[-1][:9] in reason


@pytest.mark.parametrize("verb", [*REASONS, "QUIT"])
@pytest.mark.parametrize("answer", LOST, ids=repr)
@patient
async def test_a_connection_that_breaks(verb: str, answer: Answer, kind: Kind) -> None:
    outcome, reason = await outcome_of(kind, verb, answer)
    assert outcome == broken(verb)
    assert reason.startswith("" if outcome is SENT else f"SMTP {REASONS[verb]}: ")


@pytest.mark.parametrize("verb", [*REASONS, "QUIT"])
@pytest.mark.parametrize("answer", GARBAGE, ids=repr)
@patient
async def test_garbage(verb: str, answer: str, kind: Kind) -> None:
    outcome, reason = await outcome_of(kind, verb, AndHangUp(answer))
    assert outcome == broken(verb)
    if outcome is not SENT:
        assert reason == f"SMTP {REASONS[verb]}: the relay's reply is unintelligible"


@pytest.mark.parametrize("verb", [*REASONS, "QUIT"])
@pytest.mark.parametrize("answer", FLOODS, ids=["line", "lines", "blank lines"])
@patient
async def test_a_flood_is_given_up(verb: str, answer: Flood, kind: Kind) -> None:
    outcome, reason = await outcome_of(kind, verb, answer)
    assert outcome == broken(verb)
    if outcome is not SENT:
        assert reason == f"SMTP {REASONS[verb]}: the relay's reply is unintelligible"


@pytest.mark.parametrize("verb", REASONS)
@patient
async def test_silence(verb: str, kind: Kind) -> None:
    outcome, reason = await outcome_of(kind, verb, Silence.HANG, silent_at=verb)
    assert outcome == broken(verb)
    assert reason == f"SMTP {REASONS[verb]}: timed out"


@pytest.mark.parametrize("verb", REASONS)
@patient
async def test_a_slow_relay_is_waited_for(verb: str, kind: Kind) -> None:
    friendly = {"CONNECT": "220 ready", "AUTH": "235 ok", "STARTTLS": "220 ok", "DATA": "354 ok"}
    offers = "\r\n".join(["250-slow", *(f"250-{offer}" for offer in kind.offers), "250 HELP"])
    answer = Held(offers if verb == "EHLO" else friendly.get(verb, "250 ok"))
    async with at_a_relay(kind, verb, answer) as (relay, sender):
        sending = asyncio.create_task(send(sender))
        await relay.reached(verb)
        jump(OPERATION * (0.9 if verb == "END" else 0.6))
        answer.released.set()
        await sending
