"""A relay that has several addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from support.mailing import send, sender_to
from support.scripted_smtp import ScriptedSmtp

from pinguin_core import TransientDeliveryError


class _Resolving(asyncio.SelectorEventLoop):
    """A loop that knows one name, of a relay with two addresses."""

    ports: tuple[int, int]

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        if host != "relay.test":
            return await super().getaddrinfo(host, port, **options)
        tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*tcp, ("127.0.0.1", each)) for each in self.ports]


async def delivered(first: int | None, second: int | None, **options: Any) -> int:
    """Deliver to a relay of which one address, given as None, is that of a server that lives."""
    async with ScriptedSmtp() as server:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _Resolving)
        loop.ports = (first or server.port, second or server.port)
        async with asyncio.timeout(60), sender_to(server, host="relay.test", **options) as sender:
            await send(sender)
        return len(server.messages)


def run(test: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=_Resolving) as runner:
        return runner.run(test)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that leaves who connects unanswered, because too many do so already."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            waiting = sockets.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_an_address_that_does_not_answer_does_not_hide_the_other(dead_port: int) -> None:
    assert run(delivered(dead_port, None)) == 1
    assert run(delivered(None, dead_port)) == 1


def test_an_address_that_refuses_does_not_hide_the_other(closed_port: int) -> None:
    assert run(delivered(closed_port, None)) == 1


def test_if_no_address_can_be_reached_it_is_said_why(closed_port: int) -> None:
    with pytest.raises(TransientDeliveryError) as caught:
        run(delivered(closed_port, closed_port))
    assert caught.value.reason == "SMTP connect: Connection refused"


def test_if_no_address_answers_the_time_to_connect_runs_out(dead_port: int) -> None:
    with pytest.raises(TransientDeliveryError) as caught:
        run(delivered(dead_port, dead_port, connect_timeout=timedelta(milliseconds=10)))
    assert caught.value.reason == "SMTP connect: timed out"
