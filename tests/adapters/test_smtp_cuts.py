"""Wherever the connection is cut, what the sender says of the message is true."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from support.mailing import send, sender_to
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp
from support.tcp_proxy import TcpProxy

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_core import TransientDeliveryError

EITHER_WAY = pytest.mark.parametrize(
    "offers", [(), ("PIPELINING", "SIZE 100000")], ids=["one at a time", "pipelined"]
)
ALL = 1_200  # bytes; more than a delivery takes, greetings and all
STEP = 3


async def is_sent(sender: SmtpSender) -> bool | None:
    """Whether it was; None if that is unclear."""
    try:
        await send(sender)
    except TransientDeliveryError as error:
        return None if error.ambiguous else False
    return True


@EITHER_WAY
@pytest.mark.parametrize("kept", [False, True], ids=["a new session", "a kept one"])
@patient
async def test_a_cut_after_any_byte(offers: tuple[str, ...], *, kept: bool) -> None:
    """Unclear is only what becomes of a message that has left us whole, until the reply is here."""
    outcomes = []
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(ScriptedSmtp(extensions=offers))
        way = TcpProxy(relay.host, relay.port)
        await way.open()
        stack.push_async_callback(way.close)
        for passes in range(0, ALL, STEP):
            async with sender_to(way) as sender:
                if kept:
                    await send(sender)
                relay.messages.clear()
                way.passes = passes
                sent = await is_sent(sender)
                way.passes = None
                await relay_has_read(relay, way)
            outcomes.append((sent, len(relay.messages)))
    assert set(outcomes) <= {(True, 1), (False, 0), (None, 0), (None, 1)}
    assert outcomes[-1] == (True, 1)
    unclear = sum(sent is None for sent, _ in outcomes) * STEP
    assert 0 < unclear < len(relay.messages[0].content) + len(".\r\n250 2.0.0 queued\r\n") + STEP
    assert (False, 0) not in outcomes if kept else outcomes[0] == (False, 0)


async def relay_has_read(relay: ScriptedSmtp, way: TcpProxy) -> None:
    """Wait until the relay has seen all that will come."""
    await way.cut()
    await asyncio.wait_for(relay.gone(), 10)
