from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TypeAlias

import pytest
from support.limited_smtp import LimitedSmtp
from support.mailing import CONNECT, OPERATION, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import AndHangUp, Answer, BreakingOff, ScriptedSmtp, Silence

from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_core import DeliveryError, TransientDeliveryError

Offered: TypeAlias = tuple[str, ...]
EITHER_WAY = pytest.mark.parametrize(
    "offers", [(), ("PIPELINING",)], ids=["one at a time", "pipelined"]
)
MESSAGE = ["MAIL", "RCPT", "DATA"]


@patient
async def test_a_session_is_kept_and_reused() -> None:
    async with ScriptedSmtp() as server:
        async with sender_to(server) as sender:
            assert server.sessions == 0
            for _ in range(3):
                await send(sender)
            assert server.open_sessions == 1
        assert server.verbs() == ["EHLO", *MESSAGE * 3, "QUIT"]
        await server.gone()


@patient
async def test_a_session_is_given_up_after_so_many_messages() -> None:
    async with (
        ScriptedSmtp() as server,
        sender_to(server, deliveries_per_session=2) as sender,
    ):
        for _ in range(5):
            await send(sender)
        assert server.sessions == 3
    assert server.verbs(session=1) == ["EHLO", *MESSAGE * 2, "QUIT"]


@patient
async def test_an_idle_session_is_given_up() -> None:
    idle_limit = timedelta(minutes=7)
    async with ScriptedSmtp() as server, sender_to(server, idle_limit=idle_limit) as sender:
        await asyncio.gather(send(sender), send(sender))
        assert server.open_sessions == 2
        jump(idle_limit / 2)
        await send(sender)
        assert server.sessions == 2
        jump(idle_limit * 2 / 3)
        await server.reached("QUIT")
        assert server.verbs().count("QUIT") == 1
        jump(idle_limit / 2)
        await server.gone()


@patient
async def test_a_session_is_given_up_at_a_certain_age() -> None:
    age_limit, idle_limit = timedelta(minutes=7), timedelta(minutes=5)
    async with (
        ScriptedSmtp() as server,
        sender_to(server, age_limit=age_limit, idle_limit=idle_limit) as sender,
    ):
        await send(sender)
        jump(age_limit * 0.6)
        await send(sender)
        assert server.sessions == 1
        jump(age_limit * 0.5)
        await send(sender)
        assert server.sessions == 2
    assert server.verbs(session=1) == ["EHLO", *MESSAGE * 2, "QUIT"]


@EITHER_WAY
@patient
async def test_a_relay_s_limit_of_messages_costs_nothing(offers: Offered) -> None:
    async with LimitedSmtp(per_session=3, extensions=offers) as server, sender_to(server) as sender:
        for _ in range(10):
            await send(sender)
    assert server.sessions == 4
    assert len(server.messages) == 10


@pytest.mark.parametrize("most", [1, 4])
@patient
async def test_a_relay_that_ends_idle_sessions_costs_nothing(most: int) -> None:
    async with ScriptedSmtp() as server, sender_to(server, max_sessions=most) as sender:
        for times in (1, 2):
            await asyncio.gather(*(send(sender) for _ in range(8)))
            server.say_to_all("421 4.4.2 idle for too long")
            server.hang_up()
            assert len(server.messages) == 8 * times
        await send(sender)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "answer", ["421 4.3.2 shutting down", Silence.HANG_UP, BreakingOff("250 o")], ids=str
)
@EITHER_WAY
@patient
async def test_a_kept_session_may_end_in_any_phase_before_the_dot(
    verb: str, answer: Answer, offers: tuple[str, ...]
) -> None:
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        await send(sender)
        server.script[verb] = [answer]
        await send(sender)
    assert len(server.messages) == 2
    assert server.sessions == 2


@EITHER_WAY
@patient
async def test_a_kept_session_that_is_ended_instead_of_taking_the_message_is_replaced(
    offers: tuple[str, ...],
) -> None:
    """421 after the dot says that the message was not taken."""
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        await send(sender)
        server.script["END"] = ["421 4.3.2 shutting down"]
        assert (await send(sender)).code == "250 2.0.0"
    assert server.sessions == 2


@EITHER_WAY
@patient
async def test_a_kept_session_that_is_lost_after_the_dot_is_not_replaced(
    offers: tuple[str, ...],
) -> None:
    """The message may have been taken; only the dispatcher may decide to send it again."""
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        await send(sender)
        server.script["END"] = [Silence.HANG_UP]
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.ambiguous
    assert server.sessions == 1


@pytest.mark.parametrize("reply", ["450 4.2.1 greylisted", "550 5.1.1 no such user"])
@EITHER_WAY
@patient
async def test_a_refusal_stands_though_the_kept_session_ends_with_it(
    reply: str, offers: tuple[str, ...]
) -> None:
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        await send(sender)
        server.script["RCPT"] = [f"{reply}\r\n421 4.7.0 and good-bye"]
        with pytest.raises(DeliveryError, match=reply):
            await send(sender)
        await send(sender)
    assert server.sessions == 2


@pytest.mark.parametrize(
    "answer",
    [
        "421 4.4.2 idle for too long",
        AndHangUp("421 4.3.2 shutting down"),
        Silence.HANG_UP,
        "garbage",
        "250 ok\r\n421 gone",
    ],
    ids=str,
)
@EITHER_WAY
@patient
async def test_a_kept_session_that_turns_out_dead_is_replaced_silently(
    answer: Answer, offers: tuple[str, ...]
) -> None:
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        await send(sender)
        server.script["MAIL"] = [answer]
        await send(sender)
        await send(sender)
    assert len(server.messages) == 3
    assert server.sessions == 2


@patient
async def test_a_kept_session_that_the_relay_closed_is_not_tried() -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        await asyncio.gather(*(send(sender) for _ in range(3)))
        server.hang_up()
        await server.gone()
        await send(sender)
    assert server.sessions == 4
    assert len(server.messages) == 4


@patient
async def test_a_relay_that_says_more_than_it_was_asked_is_left() -> None:
    """Its next reply could be taken for the answer to another command."""
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        server.script["END"] = ["250 2.0.0 queued\r\n250 2.0.0 and queued"]
        await send(sender)
        await send(sender)
    assert server.sessions == 2


@pytest.mark.parametrize("words", ["421 4.4.2 idle for too long", "250 hello", "x" * 100_000])
@pytest.mark.parametrize("most", [1, 4])
@patient
async def test_a_relay_that_talks_to_an_idle_session_is_left_at_once(words: str, most: int) -> None:
    """It might go on for ever; what it says is not kept."""
    async with (
        ScriptedSmtp() as server,
        sender_to(server, max_sessions=most, idle_limit=timedelta(hours=1)) as sender,
    ):
        await asyncio.gather(*(send(sender) for _ in range(4)))
        server.say_to_all(words)
        await server.gone()
        assert (await send(sender)).code == "250 2.0.0"
    assert server.sessions == most + 1
    assert "QUIT" not in server.verbs(session=1)


@patient
async def test_a_kept_session_that_has_gone_silent_costs_no_more_than_a_connection() -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        await send(sender)
        await server.reached("MAIL")
        server.script["MAIL"] = [Silence.HANG]
        sending = asyncio.create_task(send(sender))
        await server.reached("MAIL")
        jump(CONNECT)
        await sending
    assert server.sessions == 2


@EITHER_WAY
@patient
async def test_a_fresh_session_that_fails_is_not_replaced(offers: Offered) -> None:
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        server.script["MAIL"] = ["421 4.7.0 too busy"] * 2
        with pytest.raises(TransientDeliveryError, match=r"MAIL: 421 4\.7\.0 too busy"):
            await send(sender)
        assert server.sessions == 1


@pytest.mark.parametrize("verb", ["RCPT", "DATA", "END"])
@patient
async def test_after_a_refusal_the_session_begins_anew(verb: str) -> None:
    async with ScriptedSmtp() as server, sender_to(server) as sender:
        server.script[verb] = ["550 5.1.1 no"]
        with pytest.raises(DeliveryError):
            await send(sender)
        await send(sender)
    assert server.sessions == 1
    assert server.verbs().count("RSET") == 1
    assert server.messages[-1].sender


@pytest.mark.parametrize("answer", ["502 5.5.1 what?", Silence.HANG_UP])
@EITHER_WAY
@patient
async def test_a_session_that_does_not_begin_anew_is_replaced(
    answer: Answer, offers: tuple[str, ...]
) -> None:
    async with ScriptedSmtp(extensions=offers) as server, sender_to(server) as sender:
        server.script.update(RCPT=["550 5.1.1 no"], RSET=[answer])
        with pytest.raises(DeliveryError):
            await send(sender)
        await send(sender)
    assert server.sessions == 2


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"])
@EITHER_WAY
@patient
async def test_cancelling_drops_the_session_and_nothing_else(
    verb: str, offers: tuple[str, ...]
) -> None:
    async with (
        ScriptedSmtp(extensions=offers) as server,
        sender_to(server, max_sessions=1) as sender,
    ):
        server.script[verb] = [Silence.HANG]
        sending = asyncio.create_task(send(sender))
        await server.reached(verb)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        if verb in {"CONNECT", "EHLO"}:
            jump(OPERATION)  # until then it would have been kept for the next message
        await server.gone()
        await send(sender)
    assert server.sessions == 2


@patient
async def test_those_who_wait_for_a_session_can_be_cancelled() -> None:
    async with ScriptedSmtp() as server, sender_to(server, max_sessions=1) as sender:
        server.script["MAIL"] = [Silence.HANG]
        first, second, third = (asyncio.create_task(send(sender)) for _ in range(3))
        await server.reached("MAIL")
        second.cancel()
        first.cancel()
        await third
        errors = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(error) for error in errors] == [asyncio.CancelledError] * 2
    assert len(server.messages) == 1


@pytest.mark.parametrize("kept", [True, False])
@patient
async def test_whose_turn_it_is_may_be_cancelled_in_that_moment(*, kept: bool) -> None:
    """What they were about to get, a kept session or leave to open one, goes to the next."""
    async with ScriptedSmtp() as server, sender_to(server, max_sessions=1) as sender:
        pool = sender._pool
        session = await pool.borrow(Progress())
        waiting = asyncio.create_task(pool.borrow(Progress()))
        await asyncio.sleep(0)
        if kept:
            pool.give_back(session)
            waiting.cancel()
        else:
            session.closed.add_done_callback(lambda _: waiting.cancel())
            session.abort()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await send(sender)


@patient
async def test_leaving_does_not_wait_for_a_relay_that_ignores_goodbyes() -> None:
    async with ScriptedSmtp() as server:
        async with sender_to(server) as sender:
            await send(sender)
            server.script["QUIT"] = [Silence.HANG]
            leaving = asyncio.create_task(sender.__aexit__(None, None, None))
            await server.reached("QUIT")
            jump(timedelta(seconds=2))
            await leaving
        await server.gone()


@patient
async def test_a_session_that_is_in_use_ends_after_its_message() -> None:
    async with ScriptedSmtp() as server:
        async with sender_to(server) as sender:
            sending = asyncio.create_task(send(sender))
            await server.reached("MAIL")
        await sending
        await server.gone()
    assert server.verbs() == ["EHLO", *MESSAGE, "QUIT"]


@patient
async def test_each_reply_can_be_traced_without_what_is_private() -> None:
    script: dict[str, list[Answer]] = {
        "RCPT": ["250 2.1.5 <ada@example.com> ok"],
        "END": ["250 2.0.0 Your order: queued"],
    }
    said: list[tuple[str, str]] = []
    async with (
        ScriptedSmtp(script) as relay,
        sender_to(relay, trace=lambda name, line: said.append((str(name), line))) as sender,
    ):
        await send(sender)
    assert {name for name, _ in said} == {"notif-1"}
    assert [line.partition(" ")[2] for _, line in said] == [
        "MAIL: 250 2.1.0 ok",
        "RCPT: 250 2.1.5 <•••> ok",
        "DATA: 354 go ahead",
        "end of message: 250 2.0.0 •••: queued",
    ]
