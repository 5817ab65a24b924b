"""Defects to plant in the service, each of which the tests of reliability must find."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Channel,
    Email,
    Message,
    Notification,
    NotificationId,
    NotificationService,
    Receipt,
    Sent,
)

_add = SqlModelNotificationRepository.add
_claim = SqlModelNotificationRepository.claim_due
_save = SqlModelNotificationRepository.save
_send = SmtpSender.send
_accept = NotificationService.send
_numbers = count(1)
_LONG_ENOUGH: Final = 0.02  # seconds between a commit and its answer, for a kill to come between


async def writes_behind(store: SqlModelNotificationRepository, notification: Notification) -> None:
    """Answers before it commits."""

    async def add_later() -> None:
        await asyncio.sleep(_LONG_ENOUGH)
        await _add(store, notification)

    task = asyncio.ensure_future(add_later())
    task.add_done_callback(lambda done: done.exception())


async def ignores_keys(store: SqlModelNotificationRepository, notification: Notification) -> None:
    await _add(store, replace(notification, idempotency_key=None))
    await asyncio.sleep(_LONG_ENOUGH)


async def forgets_outcomes(
    store: SqlModelNotificationRepository, notification: Notification
) -> None:
    if not isinstance(notification.state, Sent):
        await _save(store, notification)


async def marks_no_duplicates(
    store: SqlModelNotificationRepository, notification: Notification
) -> None:
    await _save(store, replace(notification, possible_duplicate=False))


async def names_each_attempt_anew(
    sender: SmtpSender, message: Email, *, id: NotificationId, **more: Any
) -> Receipt:
    another = NotificationId(f"{id}-{os.getpid()}-{next(_numbers)}")
    return await _send(sender, message, id=another, **more)


async def sends_some_twice(
    sender: SmtpSender, message: Email, *, id: NotificationId, **more: Any
) -> Receipt:
    if next(_numbers) % 500 == 0:
        await _send(sender, message, id=id, **more)
    return await _send(sender, message, id=id, **more)


async def releases_early(
    store: SqlModelNotificationRepository, channel: Channel, now: datetime, *more: Any
) -> Sequence[Notification]:
    return await _claim(store, channel, now + timedelta(milliseconds=100), *more)


async def releases_late(
    store: SqlModelNotificationRepository, channel: Channel, now: datetime, *more: Any
) -> Sequence[Notification]:
    return await _claim(store, channel, now - timedelta(seconds=1.5), *more)


def exits_at_once(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Takes the place of what begins a clean stop when a signal comes."""
    loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
    return asyncio.Event()


async def sends_and_waits(
    service: NotificationService, message: Message, **how: Any
) -> Notification:
    """Answers once it was tried to deliver, or after a second."""
    accepted = await _accept(service, message, **how)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while not (await service.get(accepted.id)).history:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.05)
    return accepted


_STORE = "pinguin_adapters.sqlmodel_store.SqlModelNotificationRepository"
_SENDER = "pinguin_adapters.smtp_sender.SmtpSender"


class Defect(Enum):
    """What is replaced, and by what."""

    WRITES_BEHIND = (f"{_STORE}.add", writes_behind)
    IGNORES_KEYS = (f"{_STORE}.add", ignores_keys)
    FORGETS_OUTCOMES = (f"{_STORE}.save", forgets_outcomes)
    MARKS_NO_DUPLICATES = (f"{_STORE}.save", marks_no_duplicates)
    NAMES_EACH_ATTEMPT_ANEW = (f"{_SENDER}.send", names_each_attempt_anew)
    SENDS_SOME_TWICE = (f"{_SENDER}.send", sends_some_twice)
    RELEASES_EARLY = (f"{_STORE}.claim_due", releases_early)
    RELEASES_LATE = (f"{_STORE}.claim_due", releases_late)
    EXITS_AT_ONCE = ("pinguin_cli.process._stop_on_signals", exits_at_once)
    WAITS_FOR_THE_PROVIDER = ("pinguin_core.service.NotificationService.send", sends_and_waits)


@contextmanager
def planted(defect: Defect | None) -> Iterator[None]:
    """Give the service of this process a defect, if there is to be one."""
    if defect is None:
        yield
        return
    with patch(*defect.value):
        yield
