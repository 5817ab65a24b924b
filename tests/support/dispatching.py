"""A dispatcher amid fakes: everything it is told and asked can be arranged and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from support.samples import SOON

from pinguin_core import (
    Channel,
    Dispatcher,
    Email,
    Notification,
    NotificationId,
    NullObserver,
    Receipt,
    Sender,
    Sms,
)
from pinguin_core.testing.fakes import (
    Delivery,
    ManualClock,
    MemoryRepository,
    RecordingSender,
)

MessageT = TypeVar("MessageT", Email, Sms)


@dataclass
class NotingObserver:
    """Remembers all that it is told."""

    changes: list[Notification] = field(default_factory=list)
    troubles: list[tuple[str, Exception]] = field(default_factory=list)
    providers: list[tuple[Channel, bool, str]] = field(default_factory=list)

    def on_change(self, notification: Notification) -> None:
        self.changes.append(notification)

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        self.providers.append((channel, is_up, reason))

    def on_trouble(self, where: str, error: Exception) -> None:
        self.troubles.append((where, error))

    @property
    def states(self) -> list[str]:
        return [type(notification.state).__name__ for notification in self.changes]


class Ends(NullObserver):
    """Waits until so many notifications have come to an end."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.all_ended = asyncio.Event()

    def on_change(self, notification: Notification) -> None:
        self._left -= notification.is_final
        if self._left == 0:
            self.all_ended.set()


class BrokenObserver:
    """Raises, whatever it is told."""

    def on_change(self, notification: Notification) -> None:
        raise ZeroDivisionError

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        raise ZeroDivisionError

    def on_trouble(self, where: str, error: Exception) -> None:
        raise ZeroDivisionError


class HeldSender(Generic[MessageT]):
    """Delivers nothing until the test lets it."""

    def __init__(self) -> None:
        self.begun: list[Delivery[MessageT]] = []
        self.under_way = 0
        self.cancelled = 0
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        self._gate.set()

    async def send(self, message: MessageT, *, id: NotificationId, date: datetime) -> Receipt:
        self.begun.append(Delivery(message, id, date))
        self.under_way += 1
        self.began.set()
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
            self.ended.set()
        return Receipt(f"held-{id}")


class TroubledRepository(MemoryRepository):
    """Counts what it is asked, and raises what the test laid in its way."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.limits: list[int] = []
        self.errors: dict[str, list[BaseException]] = {}
        self.on_call: Callable[[], Any] = lambda: None
        self.before_claim: Callable[[], Any] = lambda: None
        self._gate = asyncio.Event()
        self._gate.set()

    def hold_claims(self) -> asyncio.Event:
        """Let claims take place but not return, until the event given is set."""
        self._gate.clear()
        return self._gate

    def fail_next(self, method: str, *errors: BaseException) -> None:
        self.errors.setdefault(method, []).extend(errors)

    async def _called(self, method: str) -> None:
        self.calls.append(method)
        self.on_call()
        await asyncio.sleep(0)  # as every real store lets others run
        if self.errors.get(method):
            raise self.errors[method].pop(0)

    async def save(self, notification: Notification) -> None:
        await self._called("save")
        await super().save(notification)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        await self._called("claim_due")
        self.limits.append(limit)
        self.before_claim()
        claimed = await super().claim_due(channel, now, lease, limit)
        await self._gate.wait()
        return claimed

    async def next_wake(self, channel: Channel) -> datetime | None:
        await self._called("next_wake")
        return await super().next_wake(channel)


@dataclass
class Scene:
    """All the fakes of one test."""

    clock: ManualClock = field(default_factory=ManualClock)
    store: TroubledRepository = field(default_factory=TroubledRepository)
    email: RecordingSender[Email] = field(default_factory=RecordingSender)
    observer: NotingObserver = field(default_factory=NotingObserver)

    def dispatcher(self, email: Sender[Email] | None = None, **options: Any) -> Dispatcher:
        """Make a dispatcher that delivers e-mail with the sender given, else with `self.email`."""
        defaults: dict[str, Any] = {
            "clock": self.clock,
            "policy": SOON,
            "observer": self.observer,
            "poll_interval": timedelta(hours=1),
        }
        return Dispatcher(self.store, email=email or self.email, **(defaults | options))

    async def state_of(self, name: str = "notif-1") -> str:
        return type((await self.stored(name)).state).__name__

    async def stored(self, name: str = "notif-1") -> Notification:
        return await self.store.get(NotificationId(name))

    def attempted(self) -> list[str]:
        return [str(delivery.id) for delivery in self.email.attempts]
