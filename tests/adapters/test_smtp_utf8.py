"""Addresses that are not ASCII before the @ go to relays that take them (RFC 6531)."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from support.mailing import EMAIL, FROM, send, sender_to
from support.patience import patient
from support.scripted_smtp import Answer, ScriptedSmtp

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_core import Email, EmailAddress, PermanentDeliveryError, ProviderMisconfigured

ZOE = Email(EmailAddress("zoë@bücher.example"), "Grüße", "Schön")
OFFERED = ("SMTPUTF8", "8BITMIME", "SIZE")


@patient
async def test_a_relay_that_takes_such_addresses_is_given_them() -> None:
    async with ScriptedSmtp(extensions=OFFERED) as relay, sender_to(relay) as sender:
        await send(sender, ZOE)
        await send(sender)
    first, second = relay.messages
    assert first.recipient == "zoë@xn--bcher-kva.example"
    assert "\r\nTo: zoë@xn--bcher-kva.example\r\n".encode() in first.content
    assert message_from_bytes(first.content).get_payload(decode=True) == "Schön\r\n".encode()
    mails = [command for _, command in relay.log if command.startswith("MAIL")]
    assert mails == [
        f"MAIL FROM:<{FROM}> SIZE={len(first.content)} BODY=8BITMIME SMTPUTF8",
        f"MAIL FROM:<{FROM}> SIZE={len(second.content)}",
    ]


@patient
async def test_a_relay_that_does_not_take_such_addresses_is_not_given_them() -> None:
    async with ScriptedSmtp(extensions=("8BITMIME",)) as relay, sender_to(relay) as sender:
        with pytest.raises(PermanentDeliveryError) as caught:
            await send(sender, ZOE)
        await send(sender)
    assert caught.value.reason == (
        "SMTP MAIL: the recipient's address is not ASCII before the @, and the relay does not "
        "offer SMTPUTF8"
    )
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    "reply", ["550 5.6.7 not permitted for that sender", "555 what?", "501 5.5.4 what?"]
)
@patient
async def test_a_relay_that_offers_it_and_refuses_it_fails_that_message(reply: str) -> None:
    """It would take every other message: to hold them all until an operator acts helps nobody."""
    async with ScriptedSmtp({"MAIL": [reply]}, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(PermanentDeliveryError) as caught:
            await send(sender, ZOE)
        await send(sender)
    assert caught.value.reason == f"SMTP MAIL with SMTPUTF8: {reply}"


@patient
async def test_what_is_wrong_for_every_message_does_not_fail_one_that_needs_it() -> None:
    script: dict[str, list[Answer]] = {"MAIL": ["550 5.7.1 no"]}
    async with ScriptedSmtp(script, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(ProviderMisconfigured):
            await send(sender, ZOE)


@patient
async def test_a_relay_that_refuses_our_own_address_fails_no_message() -> None:
    ours = EmailAddress("zoë@example.com")
    async with ScriptedSmtp({"MAIL": ["550 5.6.7 not permitted"]}, OFFERED) as relay:
        smtp_relay = SmtpRelay(relay.host, relay.port)
        async with SmtpSender(smtp_relay, from_address=ours) as sender:
            with pytest.raises(ProviderMisconfigured):
                await send(sender, ZOE)


@patient
async def test_our_own_address_is_no_message_s_fault() -> None:
    async with ScriptedSmtp() as relay:
        smtp_relay = SmtpRelay(relay.host, relay.port)
        async with SmtpSender(smtp_relay, from_address=EmailAddress("zoë@example.com")) as sender:
            with pytest.raises(ProviderMisconfigured, match="the sender's address is not ASCII"):
                await send(sender, EMAIL)
    assert "MAIL" not in relay.verbs()


@patient
async def test_a_domain_alone_needs_nothing_of_the_relay() -> None:
    async with ScriptedSmtp() as relay, sender_to(relay) as sender:
        await send(sender, Email(EmailAddress("ada@bücher.example"), "Grüße", "Schön"))
    assert relay.messages[0].recipient == "ada@xn--bcher-kva.example"
    assert relay.messages[0].content.isascii()


@patient
async def test_such_an_address_is_not_repeated() -> None:
    said = "550 5.1.1 <zoë@xn--bcher-kva.example>: zoë is unknown"
    script: dict[str, list[Answer]] = {"RCPT": [said.encode().decode("latin-1")]}
    async with ScriptedSmtp(script, OFFERED) as relay, sender_to(relay) as sender:
        with pytest.raises(PermanentDeliveryError) as caught:
            await send(sender, ZOE)
    assert caught.value.reason == "SMTP RCPT: 550 5.1.1 <•••>: ••• is unknown"
