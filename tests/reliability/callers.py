"""Callers of a service that is killed or stopped: each request under a key, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from reliability.ledger import Ledger
from support.service_process import TOKEN
from support.sqlmodel_stores import raw
from support.waiting import PATIENCE

from pinguin_cli.repeating import UNANSWERED, may_pass
from pinguin_core import Email, EmailAddress
from pinguin_grpc.client import PinguinClient, ServiceUnreachable

_POLL: Final = 0.02  # seconds


class Unanswered(Exception):
    """The service went away, or goes; the same call may be answered by the next one."""


class Callers:
    """Whoever asks: makes up requests, and writes down what is answered."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = count()

    def new_recipient(self) -> str:
        return f"r{next(self._numbers)}@example.com"

    async def ask(self, client: PinguinClient, recipient: str) -> None:
        """Make the request for a recipient, for the first time or again.

        Raises:
            Unanswered: if no answer came; any other error would be the service's mistake.
        """
        self._ledger.asked.add(recipient)
        message = Email(EmailAddress(recipient), "Subject", "Body")
        try:
            answer = await client.send(message, idempotency_key=recipient)
        except UNANSWERED as error:
            # Where the service listened, somebody else may by now, who speaks otherwise.
            if may_pass(error) or isinstance(error, ServiceUnreachable):
                raise Unanswered from error
            raise
        self._ledger.answers[recipient].add(answer.id)


async def all_hung_up(calling: Collection[asyncio.Task[None]]) -> list[str]:
    """Wait until callers have ended, and return what went wrong with them."""
    done, waiting = await asyncio.wait(calling, timeout=PATIENCE)
    errors = [error for each in done if (error := each.exception())]
    return [*["a call hangs"] * len(waiting), *(f"a caller ended with {each!r}" for each in errors)]


def client_of(port: int) -> PinguinClient:
    return PinguinClient("127.0.0.1", port, token=TOKEN, timeout=timedelta(seconds=PATIENCE / 2))


async def all_ended(database: Path, patience: float = PATIENCE, *, crashes: int = 0) -> None:
    """Wait until nothing is left to be delivered; but not for ever: the ledger tells what is.

    Args:
        crashes: wait only for what has outlived so many workers.
    """
    end = asyncio.get_running_loop().time() + patience
    while left(database, crashes) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 (of what other processes store, nothing tells)
        await asyncio.sleep(_POLL)


def left(database: Path, crashes: int = 0) -> int:
    """Count what is left to be delivered and has outlived so many workers."""
    with raw(database) as connection:
        query = (
            "SELECT count(*) FROM pinguin_notification WHERE wake_at IS NOT NULL AND crashes >= ?"
        )
        count: int = connection.execute(query, [crashes]).fetchone()[0]
        return count
