"""How we log in, and what becomes of it if the relay does not let us."""

from __future__ import annotations

import base64

import pytest
from support.mailing import send, sender_to
from support.patience import patient
from support.scripted_smtp import AndHangUp, Answer, ScriptedSmtp

from pinguin_core import DeliveryError, ProviderMisconfigured

LOGIN = {"username": "postmaster", "password": "secret"}
CHALLENGE = "334 " + base64.b64encode(b"<1@relay>").decode()


async def refused(offer: str, *answers: Answer) -> tuple[DeliveryError, list[str]]:
    """The error of a login, and the mechanisms that were tried."""
    server = ScriptedSmtp({"AUTH": [*answers]}, (offer,))
    async with server, sender_to(server, **LOGIN) as sender:
        with pytest.raises(DeliveryError) as caught:
            await send(sender)
    assert not server.messages
    return caught.value, [said.split()[1] for _, said in server.log if said.startswith("AUTH ")]


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN", "CRAM-MD5"])
@patient
async def test_we_log_in_by_what_the_relay_offers(method: str) -> None:
    server = ScriptedSmtp(extensions=(f"AUTH XOAUTH2 {method}",))
    if method != "PLAIN":
        server.script["AUTH"] = [CHALLENGE]
    async with server, sender_to(server, **LOGIN) as sender:
        await send(sender)
        await send(sender)
    assert server.verbs().count("AUTH") == (1 if method == "PLAIN" else 2)


@patient
async def test_a_wrong_password_is_one_failed_login() -> None:
    """Some relays lock an account after a few."""
    error, tried = await refused("AUTH CRAM-MD5 LOGIN PLAIN", "535 5.7.8 wrong", "454 later")
    assert isinstance(error, ProviderMisconfigured)
    assert error.code == "535 5.7.8"
    assert tried == ["PLAIN"]


@pytest.mark.parametrize("offer", ["AUTH PLAIN", "AUTH LOGIN PLAIN", "AUTH LOGIN", "AUTH=LOGIN"])
@patient
async def test_a_wrong_password_is_seen_though_the_relay_hangs_up(offer: str) -> None:
    error, _ = await refused(offer, AndHangUp("535 5.7.8 wrong"))
    assert isinstance(error, ProviderMisconfigured)
    assert error.code == "535 5.7.8"


@patient
async def test_a_login_that_is_not_possible_now_is_not_tried_in_another_way() -> None:
    error, tried = await refused("AUTH LOGIN PLAIN", "454 4.7.0 later", "535 5.7.8 wrong")
    assert not isinstance(error, ProviderMisconfigured)
    assert error.reason == "SMTP AUTH: 454 4.7.0 later"
    assert tried == ["PLAIN"]


@pytest.mark.parametrize("refusal", ["504 5.5.4 unrecognized", "534 5.7.9 too weak"])
@patient
async def test_only_a_mechanism_that_is_refused_gives_way_to_the_next(refusal: str) -> None:
    script: dict[str, list[Answer]] = {"AUTH": [refusal, refusal, CHALLENGE]}
    server = ScriptedSmtp(script, ("AUTH CRAM-MD5 LOGIN PLAIN",))
    async with server, sender_to(server, **LOGIN) as sender:
        await send(sender)
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["534 5.7.9 too weak", "535 5.7.8 wrong"], "535 5.7.8"),
        (["504 5.5.4 unknown", "504 5.5.4 unknown"], "504 5.5.4"),
        ([AndHangUp("534 5.7.9 too weak")], "534 5.7.9"),
    ],
)
@patient
async def test_if_none_is_left_the_refusal_counts(answers: list[Answer], code: str) -> None:
    error, _ = await refused("AUTH LOGIN PLAIN", *answers)
    assert isinstance(error, ProviderMisconfigured)
    assert error.code == code


@pytest.mark.parametrize("offer", ["SIZE 1000000", "AUTH", "AUTH XOAUTH2 SCRAM-SHA-256"])
@patient
async def test_a_relay_that_offers_no_login_is_not_given_mail_that_needs_one(offer: str) -> None:
    error, tried = await refused(offer)
    assert isinstance(error, ProviderMisconfigured)
    assert error.reason == "SMTP AUTH: the relay offers no login by PLAIN, LOGIN or CRAM-MD5"
    assert not tried
