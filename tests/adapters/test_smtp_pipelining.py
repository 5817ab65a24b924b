"""Several commands at once, where the relay offers it (RFC 2920): each reply has its own phase."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support.mailing import CONNECT, EMAIL, OPERATION, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import Answer, Held, ScriptedSmtp, Silence

from pinguin_core import (
    DeliveryError,
    Email,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)

OFFERED = ("PIPELINING",)
GRACE = timedelta(seconds=2)
IDLE = timedelta(seconds=6)


class WholeWrites(ScriptedSmtp):
    """Notes what arrives before each of its answers; answers all that has arrived at once."""

    def __init__(self, *extensions: str) -> None:
        super().__init__(extensions=extensions)
        self.writes: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        in_data = False
        while data := await reader.read(65536):
            lines = data.decode().split("\r\n")
            self.writes.append(" ".join(line.partition(" ")[0] for line in lines if line))
            if in_data:
                self.writes[-1] = "message"
                writer.write(b"250 queued\r\n")
                in_data = False
                continue
            replies = [self._reply(line.partition(" ")[0]) for line in lines if line]
            in_data = replies[-1].startswith("354")
            writer.write("".join(f"{reply}\r\n" for reply in replies).encode())
        writer.transport.abort()

    def _reply(self, verb: str) -> str:
        answer = self.next_answer(verb, 1)
        assert isinstance(answer, str)
        return answer


@patient
async def test_commands_leave_together_where_that_is_offered() -> None:
    async with WholeWrites("PIPELINING") as relay, sender_to(relay) as sender:
        await send(sender)
        await send(sender)
        assert relay.writes == ["EHLO", *["MAIL RCPT DATA", "message"] * 2]


@patient
async def test_commands_leave_one_at_a_time_where_it_is_not() -> None:
    async with WholeWrites() as relay, sender_to(relay) as sender:
        await send(sender)
        assert relay.writes == ["EHLO", "MAIL", "RCPT", "DATA", "message"]


@patient
async def test_beginning_anew_goes_with_the_others() -> None:
    async with WholeWrites("PIPELINING") as relay, sender_to(relay) as sender:
        relay.script.update(RCPT=["550 no"], DATA=["503 not yet"])
        with pytest.raises(PermanentDeliveryError):
            await send(sender)
        await send(sender)
        assert relay.writes == ["EHLO", "MAIL RCPT DATA", "RSET MAIL RCPT DATA", "message"]


@patient
async def test_of_a_session_that_was_idle_it_is_asked_first_whether_it_is_alive() -> None:
    async with WholeWrites("PIPELINING") as relay, sender_to(relay) as sender:
        await send(sender)
        jump(IDLE)
        await send(sender)
        assert relay.writes[3:] == ["MAIL", "RCPT DATA", "message"]


@patient
async def test_a_session_that_was_idle_and_is_silent_costs_no_more_than_a_connection() -> None:
    async with ScriptedSmtp(extensions=OFFERED) as relay, sender_to(relay) as sender:
        await send(sender)
        await relay.reached("MAIL")
        jump(IDLE)
        relay.script["MAIL"] = [Silence.HANG]
        sending = asyncio.create_task(send(sender))
        await relay.reached("MAIL")
        jump(CONNECT)
        await sending
    assert relay.sessions == 2


@patient
async def test_a_slow_reply_to_a_recipient_is_waited_for() -> None:
    """Though the relay keeps back what it says to MAIL until then, as it may."""
    async with ScriptedSmtp(extensions=OFFERED) as relay, sender_to(relay) as sender:
        await send(sender)
        await relay.reached("MAIL")
        late = Held("250 ok")
        relay.script["MAIL"] = [late]
        sending = asyncio.create_task(send(sender))
        await relay.reached("MAIL")
        jump(OPERATION * 0.6)
        late.released.set()
        await sending
    assert relay.sessions == 1


@pytest.mark.parametrize("reply", ["250 2.0.0 queued", "554 5.5.1 no recipients", "999"])
@patient
async def test_after_a_refused_recipient_the_relay_gets_an_empty_message(reply: str) -> None:
    """If it asks for one; whatever it says to that, ours was refused."""
    script: dict[str, list[Answer]] = {
        "RCPT": ["550 5.1.1 no such user"],
        "DATA": ["354 go ahead"],
        "END": [reply],
    }
    async with ScriptedSmtp(script, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(PermanentDeliveryError, match=r"RCPT: 550 5\.1\.1 no such user"):
            await send(sender)
        await send(sender)
    assert relay.without_recipient == [b""]
    assert len(relay.messages) == 1


@pytest.mark.parametrize(
    ("verb", "refusal", "kind"),
    [
        ("MAIL", "452 4.3.1 no room", TransientDeliveryError),
        ("MAIL", "550 5.7.1 not yours", ProviderMisconfigured),
        ("RCPT", "450 4.2.1 greylisted", TransientDeliveryError),
        ("RCPT", "550 5.1.1 no such user", PermanentDeliveryError),
        ("DATA", "451 4.3.0 local error", TransientDeliveryError),
    ],
)
@patient
async def test_the_first_refusal_counts_and_leaves_the_session_in_order(
    verb: str, refusal: str, kind: type[DeliveryError]
) -> None:
    async with ScriptedSmtp({verb: [refusal]}, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(kind, match=f"^SMTP {verb}: {refusal}"):
            await send(sender)
        await send(sender)
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]


@patient
async def test_nobody_gets_an_empty_message() -> None:
    """Of a relay that refuses the sender, then takes the recipient and asks for the message."""
    script: dict[str, list[Answer]] = {
        "MAIL": ["452 4.3.1 no room"],
        "RCPT": ["250 ok"],
        "DATA": ["354 go ahead"],
    }
    async with ScriptedSmtp(script, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(TransientDeliveryError, match="MAIL: 452"):
            await send(sender)
        await send(sender)
    assert relay.sessions == 2
    assert [message.session for message in relay.messages] == [2]
    assert not relay.without_recipient


@pytest.mark.parametrize("then", [Silence.HANG, Silence.HANG_UP, "gibberish", "421 bye"])
@patient
async def test_a_refusal_stands_whatever_becomes_of_the_session(then: Answer) -> None:
    script: dict[str, list[Answer]] = {"RCPT": ["550 5.1.1 no such user"], "DATA": [then]}
    async with ScriptedSmtp(script, OFFERED) as relay, sender_to(relay) as sender:
        sending = asyncio.create_task(send(sender))
        await relay.reached("DATA")
        if then is Silence.HANG:
            jump(GRACE)
        with pytest.raises(PermanentDeliveryError, match="RCPT: 550"):
            await sending
        await send(sender)
    assert len(relay.messages) == 1


@patient
async def test_each_reply_is_traced_with_its_own_phase() -> None:
    said: list[str] = []
    script: dict[str, list[Answer]] = {"RCPT": ["550 5.1.1 no"], "DATA": ["503 5.5.1 not yet"]}
    async with (
        ScriptedSmtp(script, OFFERED) as relay,
        sender_to(relay, trace=lambda _, line: said.append(line)) as sender,
    ):
        with pytest.raises(PermanentDeliveryError):
            await send(sender)
    assert said == [
        "SMTP MAIL: 250 2.1.0 ok",
        "SMTP RCPT: 550 5.1.1 no",
        "SMTP DATA: 503 5.5.1 not yet",
    ]


@patient
async def test_a_large_message_arrives_whole() -> None:
    email = Email(EMAIL.to, "Hi", (".x" * 35 + "\n") * 50_000)
    async with ScriptedSmtp(extensions=OFFERED) as relay, sender_to(relay) as sender:
        await send(sender, email)
        await send(sender)
    assert relay.messages[0].content.endswith(email.body.replace("\n", "\r\n").encode())
    assert relay.sessions == 1
