from __future__ import annotations

import asyncio
import email
import email.policy

import pytest
from aiosmtpd import smtp as aiosmtpd
from support.mailing import EMAIL, FROM, TO, send, sender_to
from support.patience import patient
from support.scripted_smtp import LAX, STRICT, ScriptedSmtp

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_core import Email, EmailAddress, InvalidValue, PermanentDeliveryError, Receipt

SMUGGLING = [
    end + "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nsmuggled"
    for end in (
        "\n.\n",
        "\r.\r",
        "\r\n.\n",
        "\n.\r\n",
        "\r\n.\r",
        "\r.\r\n",
        "\r\n.\r\n",
        "\r.\n",
        "\n.\r",
    )
]
DOTTED = [".", "..", ".\n.", "a\n.b", "\n.\n", "a\n..\n", "a\r\n.", ".é\n.\n"]


def body_of(content: bytes) -> str:
    payload = email.message_from_bytes(content).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def with_plain_line_ends(body: str) -> str:
    lines = body.replace("\r\n", "\n").replace("\r", "\n")
    return lines if lines.endswith("\n") else lines + "\n"


@patient
async def test_an_email_arrives() -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        receipt = await send(sender)
    (message,) = server.messages
    assert (message.sender, message.recipient) == (FROM.value, TO.value)
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert parsed["Subject"] == EMAIL.subject
    assert body_of(message.content) == "It is on its way.\r\n"
    assert receipt == Receipt("<notif-1@mail.example.com>", "250 2.0.0", "queued")
    assert parsed["Message-ID"] == receipt.provider_message_id


@patient
async def test_every_attempt_sends_the_same_bytes() -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        assert await send(sender) == await send(sender)
    assert server.messages[0].content == server.messages[1].content


@patient
async def test_an_ordinary_server_takes_it() -> None:
    """aiosmtpd, which somebody else wrote."""
    taken = []

    class Handler:
        async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
            self,
            server: aiosmtpd.SMTP,
            session: aiosmtpd.Session,
            envelope: aiosmtpd.Envelope,
        ) -> str:
            taken.append(envelope)
            return "250 2.0.0 taken"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: aiosmtpd.SMTP(Handler(), hostname="test", loop=loop), "127.0.0.1", 0
    )
    relay = SmtpRelay("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server, SmtpSender(relay, from_address=FROM) as sender:
        await send(sender, Email(EmailAddress("ada@bücher.example"), "Grüße", ".\nÄpfel\n.\n"))
        await send(sender)
    first, second = taken
    assert (first.mail_from, first.rcpt_tos) == (FROM.value, ["ada@xn--bcher-kva.example"])
    assert second.rcpt_tos == [TO.value]
    assert isinstance(first.content, bytes)
    assert body_of(first.content) == ".\r\nÄpfel\r\n.\r\n"


@pytest.mark.parametrize("end_of_data", [STRICT, LAX], ids=["strict", "lax"])
@patient
async def test_no_body_smuggles_a_second_message(end_of_data: object) -> None:
    """Whatever a server takes for the end of a message, it gets one message for each e-mail."""
    bodies = [f"before{tail}" for tail in SMUGGLING] + DOTTED
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        server.end_of_data = LAX if end_of_data is LAX else STRICT
        for body in bodies:
            await send(sender, Email(TO, "Hi", body))
    assert [body_of(message.content).replace("\r\n", "\n") for message in server.messages] == [
        with_plain_line_ends(body) for body in bodies
    ]


@patient
async def test_a_large_message_arrives_whole() -> None:
    body = "x" * 70 + "\n"
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        await send(sender, Email(TO, "Hi", body * 50_000))
        await send(sender)
    assert body_of(server.messages[0].content) == body.replace("\n", "\r\n") * 50_000
    assert server.sessions == 1


@patient
async def test_concurrent_messages_do_not_mix() -> None:
    async with ScriptedSmtp() as server, sender_to(server, max_sessions=4) as sender:
        emails = [
            Email(EmailAddress(f"user{number}@example.com"), f"To {number}", f"Body {number}")
            for number in range(100)
        ]
        await asyncio.gather(
            *(send(sender, email, f"notif-{number}") for number, email in enumerate(emails))
        )
    for message in server.messages:
        number = message.recipient.removeprefix("user").partition("@")[0]
        parsed = email.message_from_bytes(message.content)
        assert parsed["To"] == message.recipient
        assert parsed["Subject"] == f"To {number}"
        assert parsed["Message-ID"] == f"<notif-{number}@mail.example.com>"
        assert body_of(message.content) == f"Body {number}\r\n"
    assert len({message.recipient for message in server.messages}) == 100
    assert server.most_open_sessions == 4


@patient
async def test_we_greet_by_the_domain_we_send_from() -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        await send(sender)
    assert server.log[0] == (1, "EHLO mail.example.com")


@patient
async def test_a_recipient_whose_domain_cannot_exist_is_refused_for_good() -> None:
    email_to_nowhere = Email(EmailAddress("ada@①⑴.example"), "Hi", "Hello")
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        with pytest.raises(PermanentDeliveryError, match="internationalised domain"):
            await send(sender, email_to_nowhere)
    assert server.sessions == 0


def test_a_from_address_whose_domain_cannot_exist_is_refused_at_once() -> None:
    with pytest.raises(InvalidValue, match="internationalised domain"):
        SmtpSender(SmtpRelay("localhost"), from_address=EmailAddress("ada@①⑴.example"))


def test_there_must_be_a_session() -> None:
    with pytest.raises(InvalidValue, match="max_sessions"):
        SmtpSender(SmtpRelay("localhost"), from_address=FROM, max_sessions=0)
