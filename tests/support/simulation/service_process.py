"""A process of the service: its callers' verbs and its dispatcher, on the store of all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

from support.simulation.provider import TIMEOUT, Provider
from support.simulation.records import Records, Request
from support.simulation.store import Connection, RecordingRepository
from support.simulation.virtual_time import SimulatedProcess, WallClock

from pinguin_core import (
    Channel,
    Dispatcher,
    Email,
    IdGenerator,
    Notification,
    NotificationService,
    PinguinError,
    RetryPolicy,
    Sender,
    SmsQuota,
)
from pinguin_core.testing.fakes import CountingIds

_POLL: Final = timedelta(seconds=30)
_PROBE: Final = timedelta(seconds=10)

T = TypeVar("T")
Answer: TypeAlias = Notification | PinguinError
Tell: TypeAlias = Callable[[Answer], None]


@dataclass
class Surroundings:
    """What all processes share.

    Attributes:
        email: the first relay, and perhaps another.
        pair: makes one sender of two.
        quota: makes what knows how many SMS may be sent.
    """

    chance: random.Random
    records: Records
    clock: WallClock
    store: RecordingRepository
    policy: RetryPolicy
    email: Sequence[Provider]
    pair: Callable[..., Sender[Email]]
    sms: Provider
    quota: Callable[..., SmsQuota]
    sms_per_day: int | None
    options: Mapping[str, Any]
    ids: IdGenerator = field(default_factory=CountingIds)


class ServiceProcess(SimulatedProcess):
    """One of them, from its start to its close, or to its death."""

    def __init__(self, name: str, around: Surroundings) -> None:
        super().__init__(name)
        store = Connection(name, around.store, around.clock, around.chance)
        observer = _Observer(name, around.records)
        self._dispatcher = Dispatcher(
            store,
            email=_sender_of(around),
            sms=around.sms,
            clock=around.clock,
            policy=around.policy,
            observer=observer,
            sms_quota=around.quota(
                store, per_day=around.sms_per_day, uniform=around.chance.uniform
            ),
            attempt_timeout=TIMEOUT,
            poll_interval=_POLL,
            probe_interval=_PROBE,
            **around.options,
        )
        self._service = NotificationService(
            store,
            clock=around.clock,
            ids=around.ids,
            on_queued=self._dispatcher.wake,
            observer=observer,
        )
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._run(self._dispatcher.__aenter__())

    async def close(self) -> None:
        """End in good order."""
        await self._run(self._dispatcher.__aexit__(None, None, None))
        self.kill()

    def call(self, request: Request, tell: Tell) -> None:
        """Take a request, and tell the answer once there is one."""
        asyncio.get_running_loop().call_soon(self._begin, request, tell, context=self.context)

    def _run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(work, context=self.context)

    def _begin(self, request: Request, tell: Tell) -> None:
        serving = asyncio.create_task(self._serve(request, tell))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, request: Request, tell: Tell) -> None:
        try:
            answer: Answer = await self._service.send(
                request.message,
                scheduled_at=request.scheduled_at,
                idempotency_key=request.key,
            )
        except PinguinError as error:
            answer = error
        tell(answer)


def _sender_of(around: Surroundings) -> Sender[Email]:
    match around.email:
        case [only]:
            return only
        case relays:
            return around.pair(*relays, clock=around.clock, probe_interval=_PROBE)


class _Observer:
    """Holds that only what is stored is told of."""

    def __init__(self, process: str, records: Records) -> None:
        self._process = process
        self._records = records

    def on_change(self, notification: Notification) -> None:
        if notification not in self._records.versions.get(notification.id.value, ()):
            self._records.oddities.append(f"{notification.id} is told of, and not stored")

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        self._event(f"takes {channel.value} for {'up' if is_up else 'down'}")

    def on_trouble(self, where: str, error: Exception) -> None:
        self._event(f"survives {error!r} in {where}")

    def _event(self, what: str) -> None:
        self._records.event(f"{self._process} {what}")
