"""How a message leaves: what is known of its end, and what becomes of the session."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from support.patience import patient

from pinguin_adapters.smtp_sender.dialogue import Dialogue, DialogueBroken
from pinguin_adapters.smtp_sender.offers import Offers

DOT: Final = b".\r\n"
LINE: Final = b"x" * 78 + b"\r\n"
LONG: Final = LINE * 5_000


class Narrow(asyncio.Transport):
    """Takes everything, and asks for a pause whenever it holds something that has not left."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.lets_leave = 0
        self.is_gone = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_gone

    def write(self, data: Any) -> None:
        self.written.append(data)
        if len(self.written) > self.lets_leave:
            self.protocol.pause_writing()

    def abort(self) -> None:
        self.is_gone = True


async def until_it_waits(sending: asyncio.Task[bool]) -> None:
    await asyncio.sleep(0)
    assert not sending.done()


@pytest.mark.parametrize("content", [b"", LINE, LINE * 800])
@patient
async def test_what_is_not_long_leaves_at_once(content: bytes) -> None:
    way = Narrow()
    way.lets_leave = 1
    assert await Dialogue(way, Offers()).transmit(content)
    assert way.written == [content + DOT]


@patient
async def test_what_is_long_leaves_piece_by_piece_and_the_dot_alone() -> None:
    way = Narrow()
    dialogue = Dialogue(way, Offers())
    sending = asyncio.create_task(dialogue.transmit(b"." + LONG + b".." + LINE))
    await until_it_waits(sending)
    for pieces in range(1, 8):
        assert len(way.written) == pieces
        dialogue.resume_writing()
        await until_it_waits(sending)
    assert way.written[-1] == DOT
    assert b"".join(way.written) == b"." + LONG + b"..." + LINE + DOT
    dialogue.resume_writing()
    assert await sending


@patient
async def test_a_session_is_not_used_again_once_its_message_was_broken_off() -> None:
    """The relay may read on while its reply comes in two parts: it is in the message still."""
    way = Narrow()
    dialogue = Dialogue(way, Offers())
    sending = asyncio.create_task(dialogue.transmit(LONG))
    await until_it_waits(sending)
    dialogue.data_received(b"552 5.3.4 too")
    dialogue.resume_writing()
    assert not await sending
    dialogue.data_received(b" large\r\n")
    assert (await dialogue.reply()).code == 552
    assert not dialogue.usable
    assert DOT not in way.written


@patient
async def test_nothing_more_is_written_once_the_connection_is_gone() -> None:
    way = Narrow()
    dialogue = Dialogue(way, Offers())
    sending = asyncio.create_task(dialogue.transmit(LONG))
    await until_it_waits(sending)
    dialogue.resume_writing()
    way.abort()
    dialogue.connection_lost(None)
    assert not await sending
    with pytest.raises(DialogueBroken):
        await dialogue.reply()
    assert len(way.written) == 1
