"""Applications that ask the service to send something, and ask again when they hear nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from support.simulation.records import Records, Request
from support.simulation.service_process import Answer, ServiceProcess
from support.simulation.virtual_time import WallClock

from pinguin_core import (
    Email,
    EmailAddress,
    IdempotencyConflict,
    IdempotencyKey,
    Notification,
    PhoneNumber,
    Sms,
    StoreFull,
)

_PATIENCE: Final = 10.0  # seconds
_TWICE: Final = 0.03  # the share of requests that two ask at once
_OTHERWISE: Final = 0.01  # the share of keys that come again with another message
_PAUSE: Final = (1.0, 15.0)  # seconds


class Callers:
    """All of them.

    Args:
        processes: those of the service, as they come and go.
    """

    def __init__(
        self,
        processes: Sequence[ServiceProcess],
        clock: WallClock,
        chance: random.Random,
        records: Records,
    ) -> None:
        self._processes = processes
        self._clock = clock
        self._chance = chance
        self._records = records
        self.drops = 0.02
        """The share of calls, and of answers, that the network loses."""

    async def ask(self) -> None:
        """Ask for something until it is answered; without a key, only while that is harmless."""
        request = self._request()
        dice = self._chance.random() if request.key is not None else 1.0
        if dice < _TWICE:
            await asyncio.gather(self._insist(request), self._insist(request))
        else:
            await self._insist(request)
        if dice < _OTHERWISE:
            await self._ask_for_something_else(request)

    def _request(self) -> Request:
        number, chance = len(self._records.requests), self._chance
        scheduled_at = None
        if chance.random() < 0.2:
            scheduled_at = self._clock.now() + timedelta(seconds=chance.uniform(-60, 1800))
        text = str(number)
        message = (
            Sms(PhoneNumber(f"+1555{number:07}"), text)
            if chance.random() < 0.2
            else Email(EmailAddress("ada@example.com"), "Hi", text)
        )
        key = IdempotencyKey(f"key-{number}") if chance.random() < 0.9 else None
        request = Request(number, message, scheduled_at, key)
        self._records.requests.append(request)
        return request

    async def _insist(self, request: Request) -> None:
        while (answer := await self._call(request)) is None or isinstance(answer, Exception):
            if request.key is None and not isinstance(answer, StoreFull):
                return
            await asyncio.sleep(self._chance.uniform(*_PAUSE))
        request.answers.append(answer.id)

    async def _ask_for_something_else(self, request: Request) -> None:
        other = Request(
            request.number,
            Email(EmailAddress("eve@example.com"), "Hi", "Something else"),
            request.scheduled_at,
            request.key,
        )
        answer = await self._call(other)
        if isinstance(answer, Notification):
            self._records.oddities.append(f"request {request.number}: a key for two messages")
        if isinstance(answer, IdempotencyConflict):
            self._event(request, "is told of a conflict")

    async def _call(self, request: Request) -> Answer | None:
        """Call any process; return nothing if nothing is heard."""
        loop, chance = asyncio.get_running_loop(), self._chance
        heard: asyncio.Future[Answer | None] = loop.create_future()
        is_lost = chance.random() < self.drops

        def hear(answer: Answer | None) -> None:
            if not heard.done():
                heard.set_result(answer)

        def answered(answer: Answer) -> None:
            if not is_lost:
                hear(answer)

        self._event(request, "is asked")
        if chance.random() >= self.drops:
            chance.choice(self._processes).call(request, answered)
        patience = loop.call_later(_PATIENCE, hear, None)
        answer = await heard
        patience.cancel()
        told = answer.id if isinstance(answer, Notification) else type(answer).__name__
        self._event(request, f"hears {told}")
        return answer

    def _event(self, request: Request, what: str) -> None:
        self._records.event(f"request {request.number} {what}")
