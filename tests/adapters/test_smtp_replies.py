from __future__ import annotations

import asyncio
import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mailing import EMAIL, FROM, OPERATION, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import Answer, ScriptedSmtp, Silence

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.smtp_sender.replies import VERDICTS, Phase, Reply, Verdict, judge, refusal
from pinguin_core import (
    DeliveryError,
    Email,
    EmailAddress,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)

CHECK = "(check the relay's configuration)"
VERBS = {
    "CONNECT": "connect",
    "EHLO": "EHLO",
    "MAIL": "MAIL",
    "RCPT": "RCPT",
    "DATA": "DATA",
    "END": "end of message",
}


async def error_of(server: ScriptedSmtp, email: Email = EMAIL, **options: str) -> DeliveryError:
    """The error of sending through a server, after which the sender must still be usable."""
    async with sender_to(server, **options) as sender:
        with pytest.raises(DeliveryError) as caught:
            await send(sender, email)
        server.script.clear()
        await send(sender, email)
    return caught.value


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("CONNECT", "250 hello"),
        ("EHLO", "354 go ahead"),
        ("MAIL", "354 go ahead"),
        ("RCPT", "354 go ahead"),
        ("DATA", "250 ok"),
        ("END", "354 go on"),
    ],
)
@patient
async def test_a_reply_out_of_step_ends_the_session(verb: str, reply: str) -> None:
    """The relay is not where we think it is: RSET might become part of a message."""
    async with ScriptedSmtp({verb: [reply]}) as server:
        error = await error_of(server)
        assert server.sessions == 2
    assert isinstance(error, TransientDeliveryError)
    assert error.reason == f"SMTP {VERBS[verb]}: unexpected reply {reply}"
    assert error.ambiguous == (verb == "END")


@patient
async def test_a_reply_of_too_many_lines_is_none() -> None:
    """However it arrives: in many pieces, or whole."""
    lines = "550-5.1.1 no such user\r\n" * 1_000
    async with ScriptedSmtp({"RCPT": [f"{lines}550 5.1.1 no such user"]}) as server:
        error = await error_of(server)
    assert error.reason == "SMTP RCPT: the relay's reply is unintelligible"


@patient
async def test_waiting_for_a_session_counts_too() -> None:
    async with (
        ScriptedSmtp({"MAIL": [Silence.HANG]}) as server,
        sender_to(server, max_sessions=1) as sender,
    ):
        first, second = (asyncio.create_task(send(sender)) for _ in range(2))
        await server.reached("MAIL")
        jump(OPERATION)
        errors = await asyncio.gather(first, second, return_exceptions=True)
    assert str(errors[1]) == "SMTP waiting for a free session: timed out"


@patient
async def test_a_dot_that_never_left_is_not_ambiguous() -> None:
    """The relay stops reading in the middle of a message that is too large for any buffer."""
    email = Email(EMAIL.to, "Hi", ("x" * 78 + "\n") * 200_000)
    script: dict[str, list[Answer]] = {"DATA": [Silence.STOP_READING]}
    async with ScriptedSmtp(script) as server, sender_to(server) as sender:
        sending = asyncio.create_task(send(sender, email))
        await server.reached("DATA")
        jump(OPERATION)
        with pytest.raises(TransientDeliveryError) as caught:
            await sending
    assert caught.value.reason == "SMTP message content: timed out"
    assert not caught.value.ambiguous


@pytest.mark.parametrize(
    ("early", "reason"),
    [
        ("552 5.3.4 too large", "SMTP message content: 552 5.3.4 too large"),
        ("250 2.0.0 queued", "SMTP message content: unexpected reply 250 2.0.0 queued"),
    ],
)
@patient
async def test_a_reply_that_comes_before_the_dot_counts(early: str, reason: str) -> None:
    email = Email(EMAIL.to, "Hi", ("x" * 78 + "\n") * 200_000)
    async with ScriptedSmtp({"DATA": [Silence.STOP_READING]}, interjection=early) as server:
        async with sender_to(server) as sender:
            with pytest.raises(DeliveryError) as caught:
                await send(sender, email)
            await send(sender)
        assert server.sessions == 2
    assert caught.value.reason == reason
    assert not getattr(caught.value, "ambiguous", False)


@patient
async def test_a_relay_that_refuses_connections_is_tried_again() -> None:
    async with ScriptedSmtp() as server:
        port = server.port
    async with SmtpSender(SmtpRelay("127.0.0.1", port), from_address=FROM) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason == "SMTP connect: Connection refused"
    assert not caught.value.ambiguous


@pytest.mark.parametrize("host", ["no-such-host.invalid", "two..dots", "x" * 64 + ".example"])
@patient
async def test_a_relay_without_an_address_is_tried_again(host: str) -> None:
    async with SmtpSender(SmtpRelay(host), from_address=FROM) as sender:
        with pytest.raises(TransientDeliveryError, match=r"^SMTP connect: "):
            await send(sender)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("550 5.1.1 <ada@example.com>: unknown", "550 5.1.1 <•••>: unknown"),
        ("550 5.1.1 <ADA@EXAMPLE.COM>: unknown", "550 5.1.1 <•••>: unknown"),
        ("550 5.1.1 user ada unknown", "550 5.1.1 user ••• unknown"),
        ("550 5.1.1 eve@example.com unknown", "550 5.1.1 e•••@example.com unknown"),
        ("550 5.1.1 call +15550100123", "550 5.1.1 call +1•••0123"),
        ("550 'Your order' is spam", "550 '•••' is spam"),
        ("550 the link https://x.example/t/8f3a is bad", "550 the link ••• is bad"),
        ("550 code 4711 is bad, so is order", "550 code ••• is bad, so is order"),
        ("550-5.1.1 two\r\n550 5.1.1 lines", "550 5.1.1 two lines"),
        ("550 5.1.1 \x1b[2J\x07bell\t", "550 5.1.1 [2J bell"),
        ("550", "550"),
        ("550 " + "x" * 500, "550 " + "x" * 199 + "…"),
    ],
)
@patient
async def test_a_reason_repeats_nothing_private(reply: str, reason: str) -> None:
    email = Email(EMAIL.to, "Your order", "See https://x.example/t/8f3a; code 4711; order soon")
    async with ScriptedSmtp({"RCPT": [reply]}) as server:
        error = await error_of(server, email)
    assert error.reason == f"SMTP RCPT: {reason}"


@patient
async def test_an_international_recipient_is_hidden_in_both_forms() -> None:
    email = Email(EmailAddress("ada@bücher.example"), "Hi", "Hello")
    async with ScriptedSmtp({"RCPT": ["550 no <ada@xn--bcher-kva.example>"]}) as server:
        error = await error_of(server, email)
    assert error.reason == "SMTP RCPT: 550 no <•••>"


@patient
async def test_a_relay_that_repeats_our_password_does_not_make_us_repeat_it() -> None:
    name, password = "postmaster", "correct horse"
    login = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
    reply = f"535 5.7.8 bad: {login} is {password} of {name}"
    server = ScriptedSmtp({"AUTH": [reply]}, extensions=("AUTH PLAIN",))
    async with server:
        error = await error_of(server, username=name, password=password)
    assert error.reason == f"SMTP AUTH: 535 5.7.8 bad: ••• is ••• of ••• {CHECK}"
    assert error.__cause__ is None
    assert isinstance(error, TransientDeliveryError)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "END"])
@patient
async def test_nor_does_one_that_repeats_it_later(verb: str) -> None:
    name, password = "postmaster", "correct horse"
    login = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
    script: dict[str, list[Answer]] = {verb: [f"452 {login} is {password} of {name}"]}
    server = ScriptedSmtp(script, extensions=("AUTH PLAIN",))
    told: list[str] = []
    options = {"username": name, "password": password, "trace": lambda _, said: told.append(said)}
    async with server, sender_to(server, **options) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason == f"SMTP {VERBS[verb]}: 452 ••• is ••• of •••"
    assert told[-1] == caught.value.reason


@patient
async def test_nor_does_one_that_repeats_it_when_it_takes_the_message() -> None:
    login = {"username": "postmaster", "password": "correct horse"}
    server = ScriptedSmtp({"END": ["250 queued for correct horse"]}, ("AUTH PLAIN",))
    async with server, sender_to(server, **login) as sender:
        receipt = await send(sender)
    assert receipt.reply == "queued for •••"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("454 4.7.0 later", "454 4.7.0 later"),
        ("421 4.7.0 later", "421 4.7.0 later"),
        ("535 5.7.8 wrong", f"535 5.7.8 wrong {CHECK}"),
        ("534 5.7.9 weak", f"534 5.7.9 weak {CHECK}"),
        ("530 5.7.0 no", f"530 5.7.0 no {CHECK}"),
        ("250 ok", "unexpected reply 250 ok"),
    ],
)
@patient
async def test_a_login_that_fails_fails_no_message(reply: str, reason: str) -> None:
    async with ScriptedSmtp({"AUTH": [reply]}, extensions=("AUTH PLAIN",)) as server:
        error = await error_of(server, username="postmaster", password="secret")
    assert isinstance(error, TransientDeliveryError)
    assert isinstance(error, ProviderMisconfigured) == reason.endswith(CHECK)
    assert error.of_provider
    assert error.reason == f"SMTP AUTH: {reason}"


def test_nothing_secret_is_in_a_repr() -> None:
    relay = SmtpRelay("mail.example.com", username="postmaster", password="correct horse")
    assert "correct horse" not in repr(relay) + repr(SmtpSender(relay, from_address=FROM))


@given(
    phase=st.sampled_from(Phase).filter(lambda phase: phase is not Phase.WAIT),
    code=st.integers(-1, 999),
    text=st.one_of(st.text(), st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} .*", fullmatch=True)),
)
def test_every_reply_has_a_meaning(phase: Phase, code: int, text: str) -> None:
    reply = Reply(code, text)
    verdict = judge(phase, reply)
    error = refusal(phase, reply)
    if verdict is Verdict.ACCEPTED:
        assert str(code)[0] in "23"
        return
    assert isinstance(error, PermanentDeliveryError) == (verdict is Verdict.FAIL)
    assert getattr(error, "ambiguous", False) == (verdict is None and phase is Phase.END)
    assert re.fullmatch(r"SMTP [\w ]+: .*", error.reason)


def test_only_a_message_s_own_phases_fail_it() -> None:
    """And MAIL, once it tells the message's size, or what the recipient's address needs."""
    failing = {
        phase: {key for key, verdict in row.items() if verdict is Verdict.FAIL}
        for phase, row in VERDICTS.items()
        if Verdict.FAIL in row.values()
    }
    too_large = {"552", "5.2.3", "5.3.4"}
    assert failing.pop(Phase.MAIL) == too_large
    assert failing.pop(Phase.MAIL_UTF8) == too_large | {"555", "5.5.4", "5.6.7"}
    assert set(failing) == {Phase.RCPT, Phase.DATA, Phase.CONTENT, Phase.END}


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 no", "5.1.1"),
        (550, "5.1.1", "5.1.1"),
        (550, "4.1.1 no", ""),
        (550, "5.1.1.1 is no code", ""),
        (550, "5.1 no", ""),
        (550, "no 5.1.1", ""),
        (450, "4.123.456 no", "4.123.456"),
    ],
)
def test_an_enhanced_code_counts_if_it_fits_the_code(code: int, text: str, enhanced: str) -> None:
    assert Reply(code, text).enhanced == enhanced
