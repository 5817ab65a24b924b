"""A provider without a wire: a sender in memory, and the switch that makes it misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pinguin_core import (
    Email,
    NotificationId,
    PermanentDeliveryError,
    Receipt,
    TransientDeliveryError,
)
from pinguin_core.testing.contracts import Arrival, Behaviour
from pinguin_core.testing.fakes import RecordingSender


class MemoryProvider:
    """Takes the messages that a sender hands it."""

    def __init__(self) -> None:
        self.behaviour = Behaviour.ACCEPT
        self.arrived_ones: list[Arrival] = []

    @property
    def arrived(self) -> Sequence[Arrival]:
        return self.arrived_ones

    async def behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour

    async def take(self, arrival: Arrival) -> None:
        """Do with a message what the behaviour says."""
        await self.admit(arrival)
        if self.behaviour is Behaviour.LOSE_ANSWERS:
            raise ConnectionResetError

    async def admit(self, arrival: Arrival) -> None:
        await asyncio.sleep(0)
        match self.behaviour:
            case Behaviour.REFUSE:
                raise PermanentDeliveryError("550 no such user")
            case Behaviour.BE_BUSY:
                raise TransientDeliveryError("450 busy")
            case Behaviour.BE_UNREACHABLE:
                raise ConnectionRefusedError(111, f"cannot deliver to {arrival.to}")
            case Behaviour.HANG:
                await asyncio.Event().wait()
        self.arrived_ones.append(arrival)


class MemorySender(RecordingSender[Any]):
    """Records what it delivers to a `MemoryProvider`.

    Attributes:
        limit: for how many seconds it waits for an answer.
    """

    limit = 0.2

    def __init__(self, provider: MemoryProvider) -> None:
        super().__init__()
        self.provider = provider

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            await asyncio.wait_for(self.hand_over(message, self.name(id)), self.limit)
        except TimeoutError:
            raise TransientDeliveryError("no answer") from None
        except ConnectionResetError as error:
            raise TransientDeliveryError("no answer", ambiguous=True) from error
        except ConnectionError as error:
            raise TransientDeliveryError("cannot be reached") from error
        return await super().send(message, id=id, date=date)

    def name(self, id: NotificationId) -> str:
        """Return what the message is called on its way."""
        return f"<{id}@example.com>"

    async def hand_over(self, message: Any, name: str) -> None:
        subject = message.subject if isinstance(message, Email) else ""
        await self.provider.take(Arrival(str(message.to), subject, message.body, name))
