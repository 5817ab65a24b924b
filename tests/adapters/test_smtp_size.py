"""What a relay says of the size of messages is respected (RFC 1870)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mailing import EMAIL, send, sender_to
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp

from pinguin_adapters.smtp_sender.offers import Offers
from pinguin_core import Email, PermanentDeliveryError

DOTTED = Email(EMAIL.to, "Dots", ".\n..\n.a\n" * 9)


@pytest.mark.parametrize("offer", ["SIZE", "SIZE 0", "SIZE 35882577", "size 1000"])
@patient
async def test_a_relay_that_asks_is_told_how_large_a_message_is(offer: str) -> None:
    """The dots that are doubled in transit do not count."""
    async with ScriptedSmtp(extensions=(offer,)) as relay, sender_to(relay) as sender:
        await send(sender, DOTTED)
    (message,) = relay.messages
    assert (1, f"MAIL FROM:<{message.sender}> SIZE={len(message.content)}") in relay.log


@patient
async def test_a_relay_that_does_not_ask_is_not_told() -> None:
    async with ScriptedSmtp(extensions=("8BITMIME",)) as relay, sender_to(relay) as sender:
        await send(sender)
    assert (1, f"MAIL FROM:<{relay.messages[0].sender}>") in relay.log


@patient
async def test_what_is_too_large_is_refused_without_being_sent() -> None:
    async with ScriptedSmtp() as relay, sender_to(relay) as sender:
        await send(sender, DOTTED)
    size = len(relay.messages[0].content)
    async with ScriptedSmtp(extensions=(f"SIZE {size}",)) as relay, sender_to(relay) as sender:
        with pytest.raises(PermanentDeliveryError) as caught:
            await send(sender, Email(DOTTED.to, "dots.", DOTTED.body))
        await send(sender, DOTTED)
    assert not caught.value.asked
    assert caught.value.reason == (
        f"SMTP MAIL: not sent: the message has {size + 1} bytes, and the relay takes at most {size}"
    )
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    ("parameter", "limit"),
    [
        ("", None),
        ("0", None),
        ("00", None),
        ("1", 1),
        ("35882577", 35882577),
        ("9" * 20, 10**20 - 1),
        ("9" * 21, None),
        ("9" * 5_000, None),
        ("-1", None),
        ("1 2", None),
        ("\N{FULLWIDTH DIGIT ONE}", None),
        ("1e9", None),
    ],
)
def test_a_limit_is_a_number_of_at_most_20_digits(parameter: str, limit: int | None) -> None:
    assert Offers.of({"size": parameter}) == Offers(size=True, max_size=limit)


@given(extensions=st.dictionaries(st.sampled_from(["size", "pipelining", "x"]), st.text()))
def test_whatever_a_relay_offers_can_be_read(extensions: dict[str, str]) -> None:
    offers = Offers.of(extensions)
    assert offers.size == ("size" in extensions)
    assert offers.pipelining == ("pipelining" in extensions)
    assert offers.max_size is None or offers.max_size > 0
