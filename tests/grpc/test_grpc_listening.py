"""Where the server listens, and what it refuses to start with."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import pytest
from support.grpc_serving import TOKEN, serving
from support.patience import patient

from pinguin_core import InvalidValue, NotificationService
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc import listening
from pinguin_grpc.server import GrpcServer


def server(tokens: Sequence[str] = (TOKEN,)) -> GrpcServer:
    return GrpcServer(NotificationService(MemoryRepository()), tokens=tokens)


@patient
async def test_a_taken_address_is_an_os_error_that_says_so() -> None:
    async with serving(MemoryRepository()) as service:
        with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is checked below)
            await server().start("127.0.0.1", service.port)

    assert caught.value.errno == errno.EADDRINUSE


@patient
async def test_a_host_that_nobody_knows_is_an_os_error() -> None:
    with pytest.raises(OSError):  # noqa: PT011 (what it says is the resolver's)
        await server().start("no-such-host.invalid", 0)


@patient
async def test_every_address_of_a_name_is_listened_on_with_one_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine may have no IPv6: two addresses of IPv4 stand for it."""
    two = [(socket.AF_INET, 0, 0, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]
    absent = (socket.AF_INET, 0, 0, "", ("192.0.2.1", 0))

    async def resolve(*_: object, **__: object) -> list[object]:
        return [absent, *two]

    import asyncio

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    sockets = await listening.bind("both", 0)
    addresses = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()

    assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in addresses}) == 1


@patient
async def test_an_address_that_is_not_ours_is_an_os_error() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is checked below)
        await server().start("192.0.2.1", 0)

    assert caught.value.errno == errno.EADDRNOTAVAIL


@patient
async def test_answers_are_not_held_back_for_the_sake_of_fuller_packets() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        with pytest.raises(Exception, match="no notification"):
            await client.status("notif-404")
        (connection,) = service.server._connections
        sock = connection.transport.get_extra_info("socket")

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("tokens", [[], [""], ["good", ""], ["two words"], ["naïve"], "secret"])
def test_unusable_tokens_are_refused_without_being_named(tokens: Sequence[str]) -> None:
    with pytest.raises(InvalidValue) as caught:
        server(tokens)

    assert caught.value.field == "tokens"
    assert "secret" not in str(caught.value)
    assert "naïve" not in str(caught.value)
