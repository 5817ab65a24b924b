"""A provider that answers as its mood is: well, slowly, doubtfully, or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from support.simulation.records import Answer, Ask, Look, Records
from support.simulation.virtual_time import current_process

from pinguin_core import (
    Attempt,
    Email,
    NotificationId,
    PermanentDeliveryError,
    ProviderMisconfigured,
    Receipt,
    Reconciler,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.ports import IsTaken

TIMEOUT: Final = timedelta(seconds=20)
"""After how long an attempt is given up."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one attempt.

    Attributes:
        accepts: whether the provider takes the message.
        within: after how many seconds it decides, at the least and at the most.
        error: what the sender raises then; if nothing, it returns a receipt.
        is_silent: whether it does neither.
    """

    accepts: bool = False
    within: tuple[float, float] = (0.001, 0.1)
    error: Callable[[], Exception] | None = None
    is_silent: bool = False


def _down(reason: str) -> Callable[[], Exception]:
    return lambda: TransientDeliveryError(reason, of_provider=True)


def _lost() -> Exception:
    return TransientDeliveryError("lost after the dot", ambiguous=True, of_provider=True)


SENT: Final = Fate(accepts=True)
SLOW: Final = Fate(accepts=True, within=(1, 19))
TOO_SLOW: Final = Fate(accepts=True, within=(19, 90))
HUNG: Final = Fate(is_silent=True)
HUNG_ONCE_TAKEN: Final = Fate(accepts=True, is_silent=True)
REFUSED: Final = Fate(error=_down("connection refused"))
BUSY: Final = Fate(error=_down("421 too busy"))
DROPPED: Final = Fate(error=_down("lost before the dot"))
DROPPED_IN_DOUBT: Final = Fate(error=_lost)
DROPPED_ONCE_TAKEN: Final = Fate(accepts=True, error=_lost)
WAIT: Final = Fate(error=lambda: TransientDeliveryError("450 greylisted"))
WAIT_LONG: Final = Fate(
    error=lambda: TransientDeliveryError("451 later", retry_after=timedelta(minutes=2))
)
NO_SUCH_USER: Final = Fate(error=lambda: PermanentDeliveryError("550 no such user"))
BAD_LOGIN: Final = Fate(error=lambda: ProviderMisconfigured("535 bad login"))
BUG: Final = Fate(error=lambda: ZeroDivisionError("a bug in the sender"))

MOODS: Final[Mapping[str, Mapping[Fate, float]]] = {
    "well": {SENT: 95, SLOW: 2, WAIT: 1.5, NO_SUCH_USER: 1, DROPPED_ONCE_TAKEN: 0.5},
    "down": {REFUSED: 1},
    "hung": {HUNG: 8, HUNG_ONCE_TAKEN: 2, SLOW: 1},
    "slow": {SLOW: 8, TOO_SLOW: 2, SENT: 2},
    "busy": {BUSY: 1, SENT: 3},
    "choosy": {WAIT: 5, WAIT_LONG: 2, NO_SUCH_USER: 3, SENT: 5, BUSY: 1},
    "dropping": {DROPPED: 3, DROPPED_IN_DOUBT: 2, DROPPED_ONCE_TAKEN: 3, SENT: 6},
    "broken": {BAD_LOGIN: 1, BUG: 2, SENT: 20},
}
"""How often each fate comes in each mood, in proportion."""

_BEGAN: ContextVar[float] = ContextVar("began")
"""When a provider was first asked something in this attempt, which is a task."""

_FATES: Final = {mood: (list(fates), list(fates.values())) for mood, fates in MOODS.items()}


class Provider:
    """Takes messages, or not; it keeps its own record of that."""

    def __init__(self, name: str, chance: random.Random, records: Records) -> None:
        self.name = name
        self.mood = "well"
        self.taken: dict[str, Receipt] = {}
        self._chance = chance
        self._records = records

    async def send(self, message: Email | Sms, *, id: NotificationId, date: datetime) -> Receipt:
        loop, now = asyncio.get_running_loop(), self._records.now()
        fates, weights = _FATES[self.mood]
        [fate] = self._chance.choices(fates, weights)
        delay = self._chance.uniform(*fate.within)
        error = fate.error and fate.error()
        process = current_process().name
        is_late = fate.is_silent or now + delay >= _began(now) + TIMEOUT.total_seconds()
        ask = Ask(
            self.name,
            process,
            now,
            is_told=fate.accepts and error is None and not is_late,
            holds=not is_late
            and isinstance(error, TransientDeliveryError)
            and error.of_provider
            and not error.ambiguous,
        )
        self._records.asks[id.value].append(ask)
        self._records.event(f"{process} asks {self.name} to deliver {id}")
        reply: asyncio.Future[None] = loop.create_future()
        receipt = Receipt(f"sim-{id}")

        def decide() -> None:
            if fate.accepts:
                ask.accepted_at = self._records.now()
                self.taken.setdefault(message.body, receipt)
            done = "accepts" if fate.accepts else "does not take"
            self._records.event(f"{self.name} {done} {id}")
            if not fate.is_silent and not reply.done():
                reply.set_result(None)

        loop.call_later(delay, decide)
        await reply
        if error is not None:
            raise error
        return receipt


class ListingProvider(Provider, Reconciler[Sms]):
    """Can be asked what it has taken, unless it is down or hangs; no two messages are alike."""

    async def find_sent(
        self, message: Sms, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        _began(self._records.now())
        self._records.event(f"{current_process().name} looks for the text {message.body}")
        await asyncio.sleep(self._chance.uniform(0.01, 0.2))
        found = self.taken.get(message.body)
        is_told = self.mood not in ("down", "hung")
        answer = (Answer.FOUND if found else Answer.NOT_FOUND) if is_told else Answer.NONE
        self._records.looks[id.value].append(Look(self._records.now(), answer))
        if not is_told:
            raise TransientDeliveryError("no list to be had", of_provider=True)
        return found


def _began(now: float) -> float:
    """Return when the attempt that is under way began: now, if nobody was asked yet."""
    began = _BEGAN.get(now)
    _BEGAN.set(began)
    return began
