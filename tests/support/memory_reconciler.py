"""A sender in memory that can look up what its provider took, and the same with defects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from support.memory_provider import MemoryProvider

from pinguin_core import Attempt, NotificationId, Receipt, TransientDeliveryError
from pinguin_core.ports import IsTaken
from pinguin_core.testing.contracts import Arrival, Behaviour

_SLACK: Final = timedelta(minutes=1)
_SILENT: Final = {Behaviour.BE_BUSY, Behaviour.HANG, Behaviour.BE_UNREACHABLE}


@dataclass(frozen=True)
class Taken:
    name: str
    arrival: Arrival
    at: datetime


class ListingProvider(MemoryProvider):
    """Names what it takes, and keeps a list of it."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Taken] = []

    async def accept(self, arrival: Arrival) -> str:
        await self.admit(arrival)
        name = f"taken-{len(self.taken)}"
        self.taken.append(Taken(name, arrival, datetime.now(UTC)))
        if self.behaviour is Behaviour.LOSE_ANSWERS:
            raise ConnectionResetError
        return name

    async def list(self) -> Sequence[Taken]:
        await asyncio.sleep(0)
        if self.behaviour in _SILENT:
            raise ConnectionError
        return self.taken


class MemoryReconciler:
    """Delivers to a `ListingProvider`, and looks there before a doubtful one is sent again."""

    def __init__(self, provider: ListingProvider) -> None:
        self.provider = provider
        self.owners: dict[str, NotificationId] = {}

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            name = await self.provider.accept(Arrival(str(message.to), "", message.body))
        except (TransientDeliveryError, ConnectionError):
            raise self.lost() from None
        self.owners[name] = id
        return Receipt(name)

    def lost(self) -> TransientDeliveryError:
        return TransientDeliveryError("no answer", ambiguous=True)

    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        try:
            listed = await self.provider.list()
        except ConnectionError:
            raise TransientDeliveryError("no list") from None
        free = [
            each
            for each in listed
            if self.is_free(each, id)
            and self.is_it(each, message, doubts)
            and not await is_taken(each.name)
        ]
        if not free:
            return None
        self.owners[free[0].name] = id
        return Receipt(free[0].name, found=len(free) == 1)

    def is_free(self, each: Taken, id: NotificationId) -> bool:
        return self.owners.get(each.name, id) == id

    def is_it(self, each: Taken, message: Any, doubts: Sequence[Attempt]) -> bool:
        same = each.arrival == Arrival(str(message.to), "", message.body)
        return same and any(
            doubt.started_at - _SLACK <= each.at <= doubt.ended_at + _SLACK for doubt in doubts
        )


class TakesItForRefused(MemoryReconciler):
    """Does not say that it does not know."""

    def lost(self) -> TransientDeliveryError:
        return TransientDeliveryError("no answer")


class FindsNothing(MemoryReconciler):
    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        await super().find_sent(message, id=id, doubts=doubts, is_taken=is_taken)
        return None


class FindsWhateverItIsAsked(MemoryReconciler):
    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        found = await super().find_sent(message, id=id, doubts=doubts, is_taken=is_taken)
        return found or Receipt("taken-0", found=True)


class LooksAtTheTextOnly(MemoryReconciler):
    def is_it(self, each: Taken, message: Any, doubts: Sequence[Attempt]) -> bool:
        to_it = replace(each, arrival=replace(each.arrival, to=str(message.to)))
        return super().is_it(to_it, message, doubts)


class LooksAtTheRecipientOnly(MemoryReconciler):
    def is_it(self, each: Taken, message: Any, doubts: Sequence[Attempt]) -> bool:
        return super().is_it(each, replace(message, body=each.arrival.body), doubts)


class LooksAtNoTimes(MemoryReconciler):
    def is_it(self, each: Taken, message: Any, doubts: Sequence[Attempt]) -> bool:
        now = replace(doubts[0], started_at=each.at, ended_at=each.at)
        return super().is_it(each, message, [now])


class FindsItForEverybody(MemoryReconciler):
    def is_free(self, each: Taken, id: NotificationId) -> bool:
        return True


class AsksNoStore(MemoryReconciler):
    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        async def never(name: str) -> bool:  # noqa: ARG001 (as the port has it)
            return False

        return await super().find_sent(message, id=id, doubts=doubts, is_taken=never)


class FindsItOnlyOnce(MemoryReconciler):
    """Forgets for whom it was."""

    def is_free(self, each: Taken, id: NotificationId) -> bool:
        return each.name not in self.owners


class Guesses(MemoryReconciler):
    """Takes silence for absence."""

    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        try:
            return await super().find_sent(message, id=id, doubts=doubts, is_taken=is_taken)
        except TransientDeliveryError:
            return None


class Indiscreet(MemoryReconciler):
    async def find_sent(
        self, message: Any, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        try:
            return await super().find_sent(message, id=id, doubts=doubts, is_taken=is_taken)
        except TransientDeliveryError:
            raise TransientDeliveryError(f"no list of {message.to}") from None


_TAKEN: Final = "what_was_taken_without_an_answer_is_found"
_NOT_TAKEN: Final = "what_was_not_taken_is_not_found"
_OTHERS: Final = "other_messages_are_not_found"
_TIMES: Final = "what_was_taken_at_another_time_is_not_found"
_ANOTHER: Final = "what_another_notification_was_told_of_is_not_found"
_STORE: Final = "what_the_store_says_is_taken_is_not_found"
_AGAIN: Final = "it_is_found_again_for_the_same_notification"
_ONCE: Final = "each_is_found_once"
_TOLD: Final = "it_is_said_when_nobody_can_tell"

RECONCILER_MUTANTS: Final[dict[str, tuple[type[MemoryReconciler], list[str]]]] = {
    "a doubt is kept back": (TakesItForRefused, [_TAKEN]),
    "nothing is found": (FindsNothing, [_TAKEN, _ONCE, _TOLD]),
    "everything is found": (FindsWhateverItIsAsked, [_NOT_TAKEN, _OTHERS, _TIMES, _ANOTHER, _ONCE]),
    "recipients are not compared": (LooksAtTheTextOnly, [_OTHERS]),
    "texts are not compared": (LooksAtTheRecipientOnly, [_OTHERS]),
    "times are not compared": (LooksAtNoTimes, [_TIMES]),
    "one is found for all": (FindsItForEverybody, [_ANOTHER, _ONCE]),
    "the store is not asked": (AsksNoStore, [_STORE]),
    "one is found only once": (FindsItOnlyOnce, [_AGAIN]),
    "silence is taken for absence": (Guesses, [_TOLD]),
    "the recipient is told": (Indiscreet, [_TOLD]),
}
"""Each defect, and contract tests that must catch it."""
