"""A relay that has several addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from support.mailing import send, sender_to
from support.scripted_smtp import ScriptedSmtp

from pinguin_core import TransientDeliveryError


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports to which the name of a relay leads."""
    found: list[int] = []
    resolve = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> list[Any]:
        if host != "relay.test":
            return resolve(host, *args, **options)
        tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*tcp, ("127.0.0.1", each)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return found


async def delivered(ports: list[int], first: int | None, second: int | None, **options: Any) -> int:
    """Deliver to a relay of which one address, given as None, is that of a server that lives."""
    async with ScriptedSmtp() as server:
        ports[:] = (first or server.port, second or server.port)
        async with asyncio.timeout(60), sender_to(server, host="relay.test", **options) as sender:
            await send(sender)
        return len(server.messages)


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


def test_an_address_that_does_not_answer_does_not_hide_the_other(
    ports: list[int], dead_port: int
) -> None:
    assert asyncio.run(delivered(ports, dead_port, None)) == 1
    assert asyncio.run(delivered(ports, None, dead_port)) == 1


def test_an_address_that_refuses_does_not_hide_the_other(
    ports: list[int], closed_port: int
) -> None:
    assert asyncio.run(delivered(ports, closed_port, None)) == 1


def test_if_no_address_can_be_reached_it_is_said_why(ports: list[int], closed_port: int) -> None:
    with pytest.raises(TransientDeliveryError) as caught:
        asyncio.run(delivered(ports, closed_port, closed_port))
    assert caught.value.reason == "SMTP connect: Connection refused"


def test_if_no_address_answers_the_time_to_connect_runs_out(
    ports: list[int], dead_port: int
) -> None:
    with pytest.raises(TransientDeliveryError) as caught:
        asyncio.run(
            delivered(ports, dead_port, dead_port, connect_timeout=timedelta(milliseconds=10))
        )
    assert caught.value.reason == "SMTP connect: timed out"
