"""What the client commands ask of a running service."""

from __future__ import annotations

import asyncio
import signal
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from pinguin_cli.repeating import UNANSWERED, may_pass, until_answered
from pinguin_cli.settings import ClientSettings
from pinguin_core import IdempotencyKey, Message, PinguinError
from pinguin_grpc.client import (
    CallRefused,
    NotificationStatus,
    PinguinClient,
    ServiceUnreachable,
    Status,
)
from pinguin_grpc.identity import EncryptedKey, load_identity

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
        KeyboardInterrupt: on Ctrl-C.
    """
    try:
        return asyncio.run(_call(settings, ask))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def send(
    client: PinguinClient,
    message: Message,
    scheduled_at: datetime | None,
    *,
    key: IdempotencyKey,
    on_accepted: Callable[[str], None],
    remark: Callable[[str], None],
    wait: bool,
) -> NotificationStatus:
    """Hand over a notification, tell its id, and follow it to its end if that is wanted.

    A service that is restarted meanwhile is asked again, with the same key.

    It remarks what whoever waits should know, in one line: that it asks again, or how to do that
    if it is interrupted.

    Raises:
        CallFailed: naming the key, if it is not known whether the notification was accepted.
    """
    lost: list[str] = []

    async def hand_over() -> NotificationStatus:
        return await client.send(message, scheduled_at=scheduled_at, idempotency_key=key)

    def repeat(why: str) -> None:
        lost.append(why)
        remark(why)

    try:
        accepted = await until_answered(hand_over, repeat)
    except UNANSWERED as error:
        if may_pass(error):
            raise CallFailed(f"{_in_words(error)}; {_remedy(key)}") from error
        if lost:
            doubt = "the call before, which got no answer, may have been accepted"
            raise CallFailed(f"{_in_words(error)}; {doubt}; {_remedy(key)}") from error
        raise
    except asyncio.CancelledError:
        remark(f"interrupted before the service answered; {_remedy(key)}")
        raise
    on_accepted(accepted.id)

    async def ask() -> NotificationStatus:
        return await until_answered(lambda: client.status(accepted.id), remark)

    return await follow(ask, accepted) if wait else accepted


async def follow(
    ask: Callable[[], Awaitable[NotificationStatus]],
    status: NotificationStatus,
    on_change: Callable[[NotificationStatus], None] = lambda _: None,
) -> NotificationStatus:
    """Ask again and again until a notification's status is final.

    Args:
        ask: asks how it stands.
        status: what is known so far.
        on_change: told each status that differs from the one before.
    """
    pause = _FIRST_PAUSE
    while status.status not in _FINAL:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        before, status = status, await ask()
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
    _cancel_on_interrupt(asyncio.current_task())
    address = settings.grpc_server_addr
    tls = _tls_context(settings)
    try:
        async with PinguinClient(
            address.host, address.port, token=settings.tokens[0], tls=tls
        ) as client:
            return await ask(client)
    except UNANSWERED as error:
        raise CallFailed(_in_words(error)) from error


def _cancel_on_interrupt(task: asyncio.Task[Any] | None) -> None:
    """Let the loop cancel a task on Ctrl-C, between two of its steps.

    asyncio would do so in the signal handler, amid a step that then fails with a traceback. A
    second Ctrl-C raises `KeyboardInterrupt`, as anywhere else.

    Signals reach the main thread alone: on another one there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)


def _remedy(key: IdempotencyKey) -> str:
    return f"to try again without sending it twice, add --idempotency-key {key}"


def _in_words(error: CallRefused | ServiceUnreachable) -> str:
    if isinstance(error, ServiceUnreachable):
        return (
            f"{error.reason}; is `pinguin serve` running there? Check GRPC_SERVER_ADDR, and for "
            "TLS GRPC_SERVER_TLS, GRPC_SERVER_CA_FILE and GRPC_CLIENT_CERT_FILE"
        )
    if error.status_name == "UNAUTHENTICATED":
        return "the service refused the token; set NOTIFICATION_AUTH_TOKEN to one that it accepts"
    return " ".join(error.message.split())


def _tls_context(settings: ClientSettings) -> ssl.SSLContext | None:
    certificate, ca_file = settings.grpc_client_cert_file, settings.grpc_server_ca_file
    if not (settings.grpc_server_tls or ca_file or certificate):
        return None
    context = ssl.create_default_context(cafile=ca_file)
    if certificate is not None:
        try:
            load_identity(context, certificate, settings.grpc_client_key_file)
        except EncryptedKey as error:
            raise CallFailed(f"GRPC_CLIENT_KEY_FILE: {error}") from error
        except ssl.SSLError as error:
            raise CallFailed(
                "GRPC_CLIENT_CERT_FILE, GRPC_CLIENT_KEY_FILE: are not a certificate and its key in "
                f"PEM form ({error.reason or 'unreadable'})"
            ) from error
    return context
