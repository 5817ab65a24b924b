"""What the client commands ask of a running service."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from pinguin_cli.settings import ClientSettings
from pinguin_core import Message, PinguinError
from pinguin_grpc.client import (
    CallRefused,
    NotificationStatus,
    PinguinClient,
    ServiceUnreachable,
    Status,
)

_FINAL: Final = frozenset({Status.SENT, Status.FAILED, Status.CANCELLED})
_FIRST_PAUSE: Final = 0.1  # seconds between two questions; doubles
_LONGEST_PAUSE: Final = 0.5

ResultT = TypeVar("ResultT")


class CallFailed(PinguinError):
    """A call that did not succeed, in words for whoever typed the command."""


def call(settings: ClientSettings, ask: Callable[[PinguinClient], Awaitable[ResultT]]) -> ResultT:
    """Connect to the service that the settings name, and ask it something.

    Raises:
        CallFailed: if the service refuses or does not answer.
    """
    return asyncio.run(_call(settings, ask))


async def send(
    client: PinguinClient,
    message: Message,
    scheduled_at: datetime | None,
    *,
    on_accepted: Callable[[str], None],
    wait: bool,
) -> NotificationStatus:
    """Hand over a notification, tell its id, and follow it to its end if that is wanted."""
    accepted = await client.send(message, scheduled_at=scheduled_at)
    on_accepted(accepted.id)
    return await follow(client, accepted) if wait else accepted


async def follow(
    client: PinguinClient,
    status: NotificationStatus,
    on_change: Callable[[NotificationStatus], None] = lambda _: None,
) -> NotificationStatus:
    """Ask again and again until a notification's status is final.

    Args:
        client: whom to ask.
        status: what is known so far.
        on_change: told each status that differs from the one before.
    """
    pause = _FIRST_PAUSE
    while status.status not in _FINAL:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        before, status = status, await client.status(status.id)
        if status != before:
            on_change(status)
    return status


def require_sent(status: NotificationStatus) -> None:
    """Make sure that a notification has ended well.

    Raises:
        CallFailed: if it has not.
    """
    if status.status is not Status.SENT:
        ending = status.status.name.lower()
        raise CallFailed(f"{status.id} {ending}: {status.last_error or 'no reason given'}")


async def _call(
    settings: ClientSettings, ask: Callable[[PinguinClient], Awaitable[ResultT]]
) -> ResultT:
    address = settings.grpc_server_addr
    tls = _tls_context(settings)
    try:
        async with PinguinClient(
            address.host, address.port, token=settings.tokens[0], tls=tls
        ) as client:
            return await ask(client)
    except CallRefused as error:
        raise CallFailed(_refusal(error)) from error
    except ServiceUnreachable as error:
        raise CallFailed(
            f"{error.reason}; is `pinguin serve` running there? GRPC_SERVER_ADDR says where it is, "
            "GRPC_SERVER_TLS and GRPC_SERVER_CA_FILE how to reach it"
        ) from error


def _refusal(error: CallRefused) -> str:
    if error.status_name == "UNAUTHENTICATED":
        return "the service refused the token; set NOTIFICATION_AUTH_TOKEN to one that it knows"
    return " ".join(error.message.split())


def _tls_context(settings: ClientSettings) -> ssl.SSLContext | None:
    certificate, ca_file = settings.grpc_client_cert_file, settings.grpc_server_ca_file
    if not (settings.grpc_server_tls or ca_file or certificate):
        return None
    context = ssl.create_default_context(cafile=ca_file)
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, settings.grpc_client_key_file)
        except ssl.SSLError as error:
            raise CallFailed(
                "GRPC_CLIENT_CERT_FILE, GRPC_CLIENT_KEY_FILE: are no certificate with its key in "
                f"PEM form ({error.reason or 'unreadable'})"
            ) from error
    return context
