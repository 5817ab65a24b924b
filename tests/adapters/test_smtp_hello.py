"""A relay that does not know EHLO."""

from __future__ import annotations

import pytest
from support.mailing import send, sender_to
from support.patience import patient
from support.scripted_smtp import AndHangUp, Answer, ScriptedSmtp

from pinguin_adapters.smtp_sender import TlsMode
from pinguin_core import ProviderMisconfigured, TransientDeliveryError

UNKNOWN = ["500 what?", "502 5.5.1 not here", "504 no", "550 5.7.1 never"]


@pytest.mark.parametrize("answer", UNKNOWN)
@patient
async def test_it_is_greeted_by_helo(answer: str) -> None:
    script: dict[str, list[Answer]] = {"EHLO": [answer], "HELO": ["250 old"]}
    async with ScriptedSmtp(script, ("PIPELINING", "SIZE")) as server, sender_to(server) as sender:
        await send(sender)
        await send(sender)
    assert server.verbs() == ["EHLO", "HELO", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]
    assert server.log[1] == (1, "HELO mail.example.com")


@pytest.mark.parametrize("answer", ["500 what?", AndHangUp("421 bye"), AndHangUp("550 no")])
@patient
async def test_if_it_refuses_that_too_its_first_refusal_counts(answer: Answer) -> None:
    script: dict[str, list[Answer]] = {"EHLO": [UNKNOWN[0]], "HELO": [answer]}
    async with ScriptedSmtp(script) as server, sender_to(server) as sender:
        with pytest.raises(TransientDeliveryError, match=r"SMTP EHLO: 500 what\?"):
            await send(sender)


@patient
async def test_without_encryption_where_that_is_required_it_gets_nothing() -> None:
    script: dict[str, list[Answer]] = {"EHLO": [UNKNOWN[0]], "HELO": ["250 old"]}
    async with ScriptedSmtp(script) as server, sender_to(server, tls=TlsMode.STARTTLS) as sender:
        with pytest.raises(ProviderMisconfigured, match="SMTP STARTTLS: required, but"):
            await send(sender)


@patient
async def test_without_a_login_where_there_is_one_to_do_it_gets_nothing() -> None:
    script: dict[str, list[Answer]] = {"EHLO": [UNKNOWN[0]], "HELO": ["250 old"]}
    login = {"username": "postmaster", "password": "secret"}
    async with ScriptedSmtp(script) as server, sender_to(server, **login) as sender:
        with pytest.raises(ProviderMisconfigured, match="SMTP AUTH: the relay offers no login"):
            await send(sender)
