"""How the time of an attempt is divided: who gives up after the final dot makes a copy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.mailing import EMAIL, OPERATION, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import Held, ScriptedSmtp, Silence

from pinguin_core import Email, Receipt, TransientDeliveryError

LATE = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"]


def held(verb: str) -> Held:
    return Held({"CONNECT": "220 at last", "DATA": "354 at last"}.get(verb, "250 at last"))


async def given_up(sending: asyncio.Task[Receipt]) -> TransientDeliveryError:
    with pytest.raises(TransientDeliveryError, match="timed out") as caught:
        await sending
    return caught.value


@pytest.mark.parametrize("verb", LATE)
@patient
async def test_what_cannot_be_answered_in_time_is_not_sent(verb: str) -> None:
    answer = held(verb)
    async with ScriptedSmtp({verb: [answer]}) as server, sender_to(server) as sender:
        sending = asyncio.create_task(send(sender))
        await server.reached(verb)
        jump(OPERATION * 0.7)
        answer.released.set()
        assert not (await given_up(sending)).ambiguous
        await send(sender)
    assert len(server.messages) == 1


@patient
async def test_a_message_that_leaves_too_slowly_is_not_sent() -> None:
    large = Email(EMAIL.to, "Hi", ("x" * 78 + "\n") * 200_000)
    async with (
        ScriptedSmtp({"DATA": [Silence.STOP_READING]}) as server,
        sender_to(server) as sender,
    ):
        sending = asyncio.create_task(send(sender, large))
        await server.reached("DATA")
        jump(OPERATION * 0.7)
        assert not (await given_up(sending)).ambiguous


@pytest.mark.parametrize("verb", LATE)
@patient
async def test_a_third_of_the_time_is_for_the_reply_to_the_message(verb: str) -> None:
    late, end = held(verb), held("END")
    async with ScriptedSmtp({verb: [late], "END": [end]}) as server, sender_to(server) as sender:
        sending = asyncio.create_task(send(sender))
        await server.reached(verb)
        jump(OPERATION * 0.6)
        late.released.set()
        await server.reached("END")
        jump(OPERATION * 0.3)
        end.released.set()
        await sending


@patient
async def test_an_attempt_never_takes_longer_than_it_may() -> None:
    late = held("DATA")
    script: dict[str, list[Any]] = {"DATA": [late], "END": [Silence.HANG]}
    async with ScriptedSmtp(script) as server, sender_to(server) as sender:
        sending = asyncio.create_task(send(sender))
        await server.reached("DATA")
        jump(OPERATION * 0.6)
        late.released.set()
        await server.reached("END")
        jump(OPERATION * 0.4)
        assert (await given_up(sending)).ambiguous


@patient
async def test_a_session_that_is_greeted_too_late_for_one_attempt_is_for_the_next() -> None:
    late = held("CONNECT")
    async with (
        ScriptedSmtp({"CONNECT": [late]}) as server,
        sender_to(server, max_sessions=1) as sender,
    ):
        sending = asyncio.create_task(send(sender))
        await server.reached("CONNECT")
        jump(OPERATION * 0.7)
        await given_up(sending)
        sending = asyncio.create_task(send(sender))
        late.released.set()
        await sending
    assert server.sessions == 1


@patient
async def test_a_greeting_is_not_waited_for_without_end() -> None:
    async with ScriptedSmtp({"CONNECT": [Silence.HANG]}) as server, sender_to(server) as sender:
        sending = asyncio.create_task(send(sender))
        await server.reached("CONNECT")
        jump(OPERATION * 0.7)
        await given_up(sending)
        assert server.open_sessions == 1
        jump(OPERATION * 0.3)
        await server.gone()
        await send(sender)


@patient
async def test_a_session_that_is_still_to_come_ends_with_the_sender() -> None:
    async with ScriptedSmtp({"CONNECT": [Silence.HANG]}) as server:
        async with sender_to(server) as sender:
            sending = asyncio.create_task(send(sender))
            await server.reached("CONNECT")
            jump(OPERATION * 0.7)
            await given_up(sending)
        await server.gone()
