"""Repositories in memory, each with one defect that some store may have."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, Final

from pinguin_core import (
    Channel,
    DuplicateNotification,
    Email,
    EmailAddress,
    Failed,
    IdempotencyKey,
    Notification,
    NotificationId,
    Queued,
    Sending,
    Sent,
    Sms,
    StaleNotification,
    StoreUnavailable,
)
from pinguin_core.testing.contracts import Connect
from pinguin_core.testing.fakes import MemoryRepository

TICK: Final = timedelta(microseconds=1)
FAR: Final = datetime(2262, 1, 1, tzinfo=UTC)
SUMMER: Final = timezone(timedelta(hours=2))


class Mutant(MemoryRepository):
    """Where the defects are planted; all of its handles are the same object."""

    @classmethod
    @asynccontextmanager
    async def storage(cls) -> AsyncIterator[Connect]:
        repository = cls()
        yield lambda: nullcontext(repository)


class Distorting(Mutant):
    """Gives back something else than it was given."""

    @staticmethod
    def distort(it: Notification) -> Notification:
        raise NotImplementedError

    async def get(self, notification_id: NotificationId) -> Notification:
        return self.distort(await super().get(notification_id))


def distorting(distort: Callable[[Notification], Notification]) -> type[Mutant]:
    return type("Distorted", (Distorting,), {"distort": staticmethod(distort)})


def on_times(change: Callable[[datetime], datetime]) -> type[Mutant]:
    return distorting(lambda it: _with_times(it, change))


def on_body(change: Callable[[str], str]) -> type[Mutant]:
    return distorting(
        lambda it: replace(it, message=replace(it.message, body=change(it.message.body)))
    )


def _with_times(it: Any, change: Callable[[datetime], datetime]) -> Any:
    times = {
        field.name: change(value)
        for field in fields(it)
        if isinstance(value := getattr(it, field.name), datetime)
    }
    if isinstance(it, Notification):
        times["state"] = _with_times(it.state, change)
    return replace(it, **times)


def _without_error(it: Notification) -> Notification:
    match it.state:
        case Queued() | Sending() as state:
            return replace(it, state=replace(state, last_error=""))
        case _:
            return it


def _without_sms_subject(it: Notification) -> Notification:
    return (
        replace(it, message=Sms(it.message.to, it.message.body))
        if isinstance(it.message, Sms)
        else it
    )


def _with_a_shorter_reason(it: Notification) -> Notification:
    state = it.state
    return (
        replace(it, state=replace(state, reason=state.reason[:190]))
        if isinstance(state, Failed)
        else it
    )


def _with_a_shorter_name(it: Notification) -> Notification:
    state = it.state
    if not isinstance(state, Sent):
        return it
    return replace(it, state=replace(state, provider_message_id=state.provider_message_id[:255]))


def _in_lower_case(it: Notification) -> Notification:
    to = str(it.message.to).lower()
    return (
        replace(it, message=replace(it.message, to=EmailAddress(to)))
        if isinstance(it.message, Email)
        else it
    )


def _second_of_the_channel(it: Notification) -> Notification:
    return replace(it, message=replace(it.message, subject="Re: Hi"))


class FirstVersionForEver(Mutant):
    async def save(self, notification: Notification) -> None:
        first = await self.get(notification.id)
        await super().save(notification)
        self._stored[notification.id] = replace(first, version=notification.version)


class SaysNothingOfUnknownIds(Mutant):
    async def get(self, notification_id: NotificationId) -> Notification:
        return self._stored.get(notification_id)  # type: ignore[return-value]  # the defect


class IgnoresCase(Mutant):
    async def add(self, notification: Notification) -> None:
        if str(notification.id).lower() in {str(name).lower() for name in self._stored}:
            raise DuplicateNotification(str(notification.id))
        await super().add(notification)


def with_ids_cut(at: int) -> type[Mutant]:
    class Cut(Mutant):
        async def add(self, notification: Notification) -> None:
            if str(notification.id)[:at] in {str(name)[:at] for name in self._stored}:
                raise DuplicateNotification(str(notification.id))
            await super().add(notification)

    return Cut


class TakesIdsForPatterns(Mutant):
    async def get(self, notification_id: NotificationId) -> Notification:
        pattern = re.compile(str(notification_id).replace("_", "."))
        for name, stored in self._stored.items():
            if pattern.fullmatch(str(name)):
                return stored
        return await super().get(notification_id)


class AddOverwrites(Mutant):
    async def add(self, notification: Notification) -> None:
        self._stored[notification.id] = notification


class AddOverwritesThenRefuses(Mutant):
    async def add(self, notification: Notification) -> None:
        known = notification.id in self._stored
        self._stored[notification.id] = notification
        if known:
            raise DuplicateNotification(str(notification.id))


class AddsOverWhatIsFinal(Mutant):
    async def add(self, notification: Notification) -> None:
        stored = self._stored.get(notification.id)
        if stored is not None and stored.is_final:
            del self._stored[notification.id]
        await super().add(notification)


class AddIsAnUpsert(Mutant):
    async def add(self, notification: Notification) -> None:
        stored = self._stored.get(notification.id)
        if stored is not None and stored.version < notification.version:
            self._stored.pop(notification.id)
        await super().add(notification)


class ForgetsKeys(Mutant):
    async def add(self, notification: Notification) -> None:
        self._keys.clear()
        await super().add(notification)


class RefusesTheKeyTooLate(Mutant):
    async def add(self, notification: Notification) -> None:
        self._stored.setdefault(notification.id, notification)
        if notification.idempotency_key in self._keys:
            raise DuplicateNotification(str(notification.id))
        self._stored.pop(notification.id)
        await super().add(notification)


class TakesTheKeyOfWhatItRefuses(Mutant):
    async def add(self, notification: Notification) -> None:
        key = notification.idempotency_key
        if key is not None and key not in self._keys:
            self._keys[key] = notification.id
            if notification.id not in self._stored:
                del self._keys[key]
        await super().add(notification)


class TheLastHasTheKey(Mutant):
    async def add(self, notification: Notification) -> None:
        try:
            await super().add(notification)
        except DuplicateNotification:
            if notification.idempotency_key is not None:
                self._stored[self._keys[notification.idempotency_key]] = notification
            raise


class ReleasesKeysOfWhatIsFinal(Mutant):
    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        if notification.is_final and notification.idempotency_key is not None:
            self._keys.pop(notification.idempotency_key, None)


class FindsAnyKey(Mutant):
    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        return next(iter(self._stored.values()), None)


class TakesNoKeyForAKey(Mutant):
    async def add(self, notification: Notification) -> None:
        if notification.idempotency_key is None and any(
            each.idempotency_key is None for each in self._stored.values()
        ):
            raise DuplicateNotification(str(notification.id))
        await super().add(notification)


class AddsKeysWithoutALock(Mutant):
    async def add(self, notification: Notification) -> None:
        key = notification.idempotency_key
        taken = key in self._keys
        await asyncio.sleep(0)
        if taken:
            raise DuplicateNotification(str(notification.id))
        self._keys.pop(key, None) if key is not None else None
        await super().add(notification)


class FindsWhatWasSaved(Mutant):
    """Keeps a copy under each key, of which its claims know nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[IdempotencyKey | None, Notification] = {}

    async def add(self, notification: Notification) -> None:
        await super().add(notification)
        self.copies[notification.idempotency_key] = notification

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        self.copies[notification.idempotency_key] = notification

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        return self.copies.get(idempotency_key)


def with_keys(change: Callable[[str], str]) -> type[Mutant]:
    """Look keys up by something less than all of their characters."""

    class Careless(Mutant):
        async def add(self, notification: Notification) -> None:
            key = notification.idempotency_key
            if key is not None and change(str(key)) in {change(str(each)) for each in self._keys}:
                raise DuplicateNotification(str(notification.id))
            await super().add(notification)

    return Careless


class SaveDoesNothing(Mutant):
    async def save(self, notification: Notification) -> None:
        stored = self._stored.get(notification.id)
        if stored is None or stored.version != notification.version - 1:
            raise StaleNotification(str(notification.id))


class Unguarded(Mutant):
    """Saves when its own idea of the versions allows it."""

    allows: ClassVar[Callable[[int, int], bool]]

    async def save(self, notification: Notification) -> None:
        stored = self._stored.get(notification.id)
        if stored is None or not type(self).allows(stored.version, notification.version):
            raise StaleNotification(str(notification.id))
        self._stored[notification.id] = notification


def guarded_by(allows: Callable[[int, int], bool]) -> type[Mutant]:
    return type("Unguarded", (Unguarded,), {"allows": staticmethod(allows)})


class SaveAdds(Mutant):
    async def save(self, notification: Notification) -> None:
        if notification.id in self._stored:
            await super().save(notification)
        else:
            self._stored[notification.id] = notification


class IgnoresStaleSaves(Mutant):
    async def save(self, notification: Notification) -> None:
        try:
            await super().save(notification)
        except StaleNotification:
            return


class Picky(Mutant):
    """Waits for other notifications than it should, or at other times."""

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        due = self.order([it for it in self._stored.values() if self.is_due(it, channel, now)])
        claimed = [self.claim(each, now, lease) for each in due[: self.limit(limit)]]
        self._stored.update((each.id, each) for each in claimed)
        return claimed

    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return it.channel is channel and it.wake_at is not None and it.wake_at <= now

    def order(self, due: list[Notification]) -> list[Notification]:
        return sorted(due, key=lambda each: (each.wake_at or FAR, each.id))

    def limit(self, limit: int) -> int:
        return limit

    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return it.claim(now, lease)


class ClaimsATickLate(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return super().is_due(it, channel, now - TICK)


class ClaimsATickEarly(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return super().is_due(it, channel, now + TICK)

    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return it.claim(max(now, it.wake_at or now), lease)


class ClaimsInOrderOfArrival(Picky):
    def order(self, due: list[Notification]) -> list[Notification]:
        return due


class ClaimsAnyOfOneMoment(Picky):
    def order(self, due: list[Notification]) -> list[Notification]:
        return sorted(due, key=lambda each: each.wake_at or FAR)


class ClaimsTheLatestFirst(Picky):
    def order(self, due: list[Notification]) -> list[Notification]:
        return super().order(due)[::-1]


class IgnoresTheLimit(Picky):
    def limit(self, limit: int) -> int:
        return 1_000


class IgnoresTheChannel(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return super().is_due(it, it.channel, now)


class TakesNoLimitForNone(Picky):
    def limit(self, limit: int) -> int:
        return limit or 1_000


class CountsTheOtherChannel(Picky):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        due = self.order([it for it in self._stored.values() if self.is_due(it, it.channel, now)])
        wanted = [each for each in due[:limit] if each.channel is channel]
        claimed = [self.claim(each, now, lease) for each in wanted]
        self._stored.update((each.id, each) for each in claimed)
        return claimed


class CountsOnlyWhatItStarts(Picky):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed: list[Notification] = []
        while limit > 0 and (one := await super().claim_due(channel, now, lease, 1)):
            claimed += one
            limit -= not one[0].is_final
        return claimed


class ClaimsTheExpiredLast(Picky):
    def order(self, due: list[Notification]) -> list[Notification]:
        return sorted(super().order(due), key=lambda each: isinstance(each.state, Sending))


class TakesWhatIsHeld(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        held = isinstance(it.state, Sending) and it.channel is channel
        return held or super().is_due(it, channel, now)

    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return it.claim(max(now, it.wake_at or now), lease)


class LeavesTheDeadTheirWork(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return isinstance(it.state, Queued) and super().is_due(it, channel, now)


class ForgetsCrashes(Picky):
    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return replace(it, state=Queued(now)).start(now, lease)


class ClaimsWhatIsFinal(Picky):
    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return (it.is_final and it.channel is channel) or super().is_due(it, channel, now)

    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return (
            replace(it, state=Queued(now)).start(now, lease)
            if it.is_final
            else it.claim(now, lease)
        )


class HidesWhatFailed(Picky):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed = await super().claim_due(channel, now, lease, limit)
        return [each for each in claimed if not each.is_final]


class DoesNotStoreClaims(Mutant):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        before = dict(self._stored)
        claimed = await super().claim_due(channel, now, lease, limit)
        self._stored = before
        return claimed


class StoresAnotherVersionThanItGives(Picky):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed = await super().claim_due(channel, now, lease, limit)
        for each in claimed:
            self._stored[each.id] = replace(each, version=each.version + 1)
        return claimed


class IndexIsNotUpdated(Picky):
    """Looks for what is due by the time that each had when it was added."""

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[NotificationId, datetime | None] = {}

    async def add(self, notification: Notification) -> None:
        await super().add(notification)
        self.index[notification.id] = notification.wake_at

    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        wake_at = self.index[it.id]
        indexed = wake_at is not None and wake_at <= now
        return indexed and it.channel is channel and it.wake_at is not None

    def claim(self, it: Notification, now: datetime, lease: timedelta) -> Notification:
        return it.claim(max(now, it.wake_at or now), lease)


class ARefusedSaveMovesTheIndex(Mutant):
    """Writes its index first, and compares the versions afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[NotificationId, datetime | None] = {}

    async def add(self, notification: Notification) -> None:
        await super().add(notification)
        self.index[notification.id] = notification.wake_at

    async def save(self, notification: Notification) -> None:
        self.index[notification.id] = notification.wake_at
        await super().save(notification)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed = await super().claim_due(channel, now, lease, limit)
        self.index.update((each.id, each.wake_at) for each in claimed)
        return claimed

    async def next_wake(self, channel: Channel) -> datetime | None:
        wakes = [wake for name, wake in self.index.items() if self._is_of(name, channel)]
        return min((wake for wake in wakes if wake is not None), default=None)

    def _is_of(self, name: NotificationId, channel: Channel) -> bool:
        return name in self._stored and self._stored[name].channel is channel


class FinalForEver(Picky):
    """Takes what is final out of its index, and never puts it back."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[NotificationId] = set()

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        if notification.is_final:
            self.gone.add(notification.id)

    def is_due(self, it: Notification, channel: Channel, now: datetime) -> bool:
        return it.id not in self.gone and super().is_due(it, channel, now)


def next_wake_of(choose: Callable[[list[Notification], Channel], datetime | None]) -> type[Mutant]:
    async def next_wake(self: Mutant, channel: Channel) -> datetime | None:
        waiting = [each for each in self._stored.values() if each.wake_at is not None]
        return choose(waiting, channel)

    return type("Wakes", (Mutant,), {"next_wake": next_wake})


def _wakes(waiting: list[Notification], channel: Channel) -> list[datetime]:
    return [each.wake_at for each in waiting if each.wake_at and each.channel is channel]


NEXT_WAKE_FROM_THE_FIRST: Final = next_wake_of(
    lambda waiting, channel: next(iter(_wakes(waiting, channel)), None)
)
NEXT_WAKE_WITHOUT_LEASES: Final = next_wake_of(
    lambda waiting, channel: min(
        _wakes([each for each in waiting if isinstance(each.state, Queued)], channel), default=None
    )
)
NEXT_WAKE_OF_ALL_CHANNELS: Final = next_wake_of(
    lambda waiting, _: min((each.wake_at for each in waiting if each.wake_at), default=None)
)
NEXT_WAKE_IN_SUMMER_TIME: Final = next_wake_of(
    lambda waiting, channel: min(
        (each.astimezone(SUMMER) for each in _wakes(waiting, channel) if each < FAR), default=None
    )
)
NEXT_WAKE_OF_NOTHING: Final = next_wake_of(
    lambda waiting, channel: min(_wakes(waiting, channel), default=FAR)
)


class Hasty(Mutant):
    """Looks first and writes later, and lets others in between."""


class ClaimsWithoutALock(Hasty):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        seen, self._stored = self._stored, dict(self._stored)
        try:
            claimed = await super().claim_due(channel, now, lease, limit)
        finally:
            self._stored = seen
        await asyncio.sleep(0)
        self._stored.update((each.id, each) for each in claimed)
        return claimed


class LocksOnlyWhatIsQueued(Hasty):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        before = dict(self._stored)
        claimed = await super().claim_due(channel, now, lease, limit)
        expired = [each for each in claimed if isinstance(before[each.id].state, Sending)]
        self._stored.update((each.id, before[each.id]) for each in expired)
        await asyncio.sleep(0)
        self._stored.update((each.id, each) for each in expired)
        return claimed


class LeavesItsLockBehind(Mutant):
    """A call that is cancelled does not release it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def add(self, notification: Notification) -> None:
        await self.lock.acquire()
        await asyncio.sleep(0)
        try:
            await super().add(notification)
        finally:
            self.lock.release()


class SavesWithoutALock(Hasty):
    async def save(self, notification: Notification) -> None:
        stored = self._stored.get(notification.id)
        if stored is None or stored.version != notification.version - 1:
            raise StaleNotification(str(notification.id))
        await asyncio.sleep(0)
        self._stored[notification.id] = notification


class AddsWithoutALock(Hasty):
    async def add(self, notification: Notification) -> None:
        if notification.id in self._stored:
            raise DuplicateNotification(str(notification.id))
        await asyncio.sleep(0)
        self._stored[notification.id] = notification


class ARefusalTakesItsNeighbours(Mutant):
    """Commits in groups, and rolls a whole group back for one of its members."""

    def __init__(self) -> None:
        super().__init__()
        self.group: list[Notification] = []

    async def add(self, notification: Notification) -> None:
        group = self.group
        group.append(notification)
        await asyncio.sleep(0)
        self.group = []
        names = {each.id for each in group}
        if notification.id in self._stored:
            raise DuplicateNotification(str(notification.id))
        if len(names) < len(group):
            raise StoreUnavailable("rolled back")
        self._stored[notification.id] = notification


_KEPT: Final = "every_notification_comes_back_as_it_was"
PROGRAM: Final = "any_program_of_calls_does_what_a_dictionary_would"
_CLAIMED: Final = "exactly_what_is_due_is_claimed_and_in_order"

REPOSITORY_MUTANTS: Final[dict[str, tuple[type[Mutant], list[str]]]] = {
    "the subject is changed": (distorting(_second_of_the_channel), ["what_was_added_is_found"]),
    "microseconds are lost": (
        on_times(lambda moment: moment.replace(microsecond=0)),
        ["times_keep_their_microseconds", _KEPT],
    ),
    "the zone is lost": (
        on_times(lambda moment: moment.replace(tzinfo=None)),
        ["times_come_back_in_utc", "what_was_added_is_found"],
    ),
    "times come back in another zone": (
        on_times(lambda moment: moment.astimezone(SUMMER) if moment < FAR else moment),
        ["times_come_back_in_utc"],
    ),
    "times end in 2262": (on_times(lambda moment: min(moment, FAR)), ["the_ends_of_time_are_kept"]),
    "text is normalised": (
        on_body(lambda body: unicodedata.normalize("NFC", body)),
        ["text_is_kept_character_by_character"],
    ),
    "text is trimmed": (on_body(str.strip), ["text_is_kept_character_by_character"]),
    "line ends are changed": (
        on_body(lambda body: "\n".join(body.splitlines())),
        ["text_is_kept_character_by_character"],
    ),
    "characters outside the first plane are lost": (
        on_body(lambda body: "".join(c if c < "\U00010000" else "?" for c in body)),
        ["text_is_kept_character_by_character", "the_largest_body_is_kept"],
    ),
    "long bodies are cut": (on_body(lambda body: body[:65_535]), ["the_largest_body_is_kept"]),
    "the subject of an SMS is lost": (
        distorting(_without_sms_subject),
        ["the_subject_of_an_sms_is_kept"],
    ),
    "the last error is lost": (distorting(_without_error), ["every_step_of_a_long_life_is_kept"]),
    "the crash count is lost": (
        distorting(lambda it: replace(it, crashes=0)),
        ["a_crash_is_counted", _KEPT],
    ),
    "the doubt is lost": (
        distorting(lambda it: replace(it, possible_duplicate=False)),
        ["a_crash_is_counted", "every_step_of_a_long_life_is_kept", _KEPT],
    ),
    "the first version is given for ever": (
        FirstVersionForEver,
        ["the_next_version_replaces_the_one_before"],
    ),
    "an unknown id gives nothing": (SaysNothingOfUnknownIds, ["an_unknown_id_is_not_found"]),
    "ids are compared without case": (IgnoresCase, ["ids_differ_by_case"]),
    "a duplicate overwrites": (AddOverwrites, ["an_id_is_added_once", PROGRAM]),
    "a duplicate overwrites and is refused": (AddOverwritesThenRefuses, ["an_id_is_added_once"]),
    "what is final is added over": (AddsOverWhatIsFinal, ["an_id_is_taken_for_all_time"]),
    "attempts are counted in two bytes": (
        distorting(lambda it: replace(it, attempts=min(it.attempts, 2**15 - 1))),
        ["the_greatest_counts_are_kept"],
    ),
    "add is an upsert": (AddIsAnUpsert, ["a_later_version_is_not_added_over_an_earlier"]),
    "save does nothing": (
        SaveDoesNothing,
        ["the_next_version_replaces_the_one_before", "the_outcome_of_a_claim_can_be_saved"],
    ),
    "no compare-and-set": (
        guarded_by(lambda *_: True),
        [
            "a_version_is_saved_once",
            "no_version_is_skipped",
            "of_concurrent_saves_one_wins",
            "a_worker_cannot_save_once_his_claim_was_taken_away",
            PROGRAM,
        ],
    ),
    "any later version is saved": (
        guarded_by(lambda stored, new: stored < new),
        ["no_version_is_skipped"],
    ),
    "the same version is saved again": (
        guarded_by(lambda stored, new: stored in {new, new - 1}),
        ["the_stored_version_itself_is_stale", "a_version_is_saved_once"],
    ),
    "save adds": (SaveAdds, ["what_was_never_added_cannot_be_saved"]),
    "stale saves are ignored": (
        IgnoresStaleSaves,
        ["a_version_is_saved_once", "what_was_never_added_cannot_be_saved"],
    ),
    "due a tick late": (
        ClaimsATickLate,
        ["a_notification_is_due_at_its_very_moment", "a_claim_holds_until_its_lease_is_over"],
    ),
    "due a tick early": (
        ClaimsATickEarly,
        [
            "a_notification_is_due_at_its_very_moment",
            "a_claim_holds_until_its_lease_is_over",
            "a_retry_is_claimed_at_its_new_time",
        ],
    ),
    "claims in order of arrival": (
        ClaimsInOrderOfArrival,
        ["the_earliest_is_claimed_first"],
    ),
    "claims any of those of one moment": (
        ClaimsAnyOfOneMoment,
        ["of_one_moment_the_first_id_is_claimed_first"],
    ),
    "claims the latest first": (ClaimsTheLatestFirst, ["the_earliest_is_claimed_first"]),
    "the limit is ignored": (IgnoresTheLimit, ["no_more_are_claimed_than_asked_for", _CLAIMED]),
    "the channel is ignored": (IgnoresTheChannel, ["the_other_channel_is_left_alone", _CLAIMED]),
    "leases are ignored": (TakesWhatIsHeld, ["a_claim_holds_until_its_lease_is_over"]),
    "leases never end": (
        LeavesTheDeadTheirWork,
        ["a_claim_holds_until_its_lease_is_over", "a_crash_is_counted"],
    ),
    "crashes are not counted": (
        ForgetsCrashes,
        ["a_crash_is_counted", "what_outlived_too_many_workers_fails"],
    ),
    "what is final is claimed": (ClaimsWhatIsFinal, ["what_is_final_is_never_claimed", _CLAIMED]),
    "what failed in claiming is hidden": (
        HidesWhatFailed,
        ["what_outlived_too_many_workers_fails"],
    ),
    "claims are not stored": (
        DoesNotStoreClaims,
        ["what_is_claimed_is_stored_as_it_was_given", "no_notification_is_claimed_by_two"],
    ),
    "another version is stored than given": (
        StoresAnotherVersionThanItGives,
        ["what_is_claimed_is_stored_as_it_was_given", "the_outcome_of_a_claim_can_be_saved"],
    ),
    "the index is not updated": (
        IndexIsNotUpdated,
        [
            "a_retry_is_claimed_at_its_new_time",
            "what_was_rescheduled_is_claimed_at_its_new_time",
        ],
    ),
    "what was final stays so": (FinalForEver, ["what_failed_can_be_queued_again"]),
    "next_wake tells the first": (
        NEXT_WAKE_FROM_THE_FIRST,
        ["the_next_wake_is_the_earliest"],
    ),
    "next_wake ignores leases": (
        NEXT_WAKE_WITHOUT_LEASES,
        ["the_next_wake_sees_the_end_of_a_lease", "the_next_wake_is_the_minimum", PROGRAM],
    ),
    "next_wake ignores the channel": (
        NEXT_WAKE_OF_ALL_CHANNELS,
        ["the_next_wake_belongs_to_its_channel"],
    ),
    "next_wake is in another zone, and ends in 2262": (
        NEXT_WAKE_IN_SUMMER_TIME,
        ["the_next_wake_is_in_utc", "the_end_of_time_can_be_waited_for"],
    ),
    "next_wake makes something up": (
        NEXT_WAKE_OF_NOTHING,
        ["an_empty_storage_has_nothing_to_claim", "what_is_final_is_never_claimed"],
    ),
    "the history is lost": (
        distorting(lambda it: replace(it, history=())),
        ["every_step_of_a_long_life_is_kept", _KEPT],
    ),
    "of the history only the last is kept": (
        distorting(lambda it: replace(it, history=it.history[-1:])),
        ["every_step_of_a_long_life_is_kept"],
    ),
    "the key is lost": (
        distorting(lambda it: replace(it, idempotency_key=None)),
        ["an_idempotency_key_is_added_once", _KEPT],
    ),
    "keys are forgotten": (
        ForgetsKeys,
        ["an_idempotency_key_is_added_once", "of_concurrent_adds_of_one_key_one_wins", PROGRAM],
    ),
    "what the key refuses is stored": (
        RefusesTheKeyTooLate,
        ["an_idempotency_key_is_added_once"],
    ),
    "the last has the key": (TheLastHasTheKey, ["an_idempotency_key_is_added_once"]),
    "keys end with their notifications": (
        ReleasesKeysOfWhatIsFinal,
        ["a_key_is_taken_for_all_the_life_of_its_notification"],
    ),
    "any key finds something": (FindsAnyKey, ["an_unknown_key_finds_nothing"]),
    "no key is a key": (TakesNoKeyForAKey, ["any_number_may_have_no_key"]),
    "keys are looked up without case": (
        with_keys(str.lower),
        ["keys_differ_by_every_character"],
    ),
    "keys are cut": (with_keys(lambda key: key[:64]), ["keys_differ_by_every_character"]),
    "adds keys without a lock": (
        AddsKeysWithoutALock,
        ["of_concurrent_adds_of_one_key_one_wins"],
    ),
    "claims without a lock": (
        ClaimsWithoutALock,
        [
            "no_notification_is_claimed_by_two",
            "a_claim_and_a_cancellation_exclude_each_other",
        ],
    ),
    "saves without a lock": (SavesWithoutALock, ["of_concurrent_saves_one_wins"]),
    "adds without a lock": (AddsWithoutALock, ["of_concurrent_adds_of_one_id_one_wins"]),
    "a refusal takes its neighbours": (
        ARefusalTakesItsNeighbours,
        ["concurrent_adds_of_many_are_all_kept"],
    ),
    "ids are cut at 24": (with_ids_cut(24), ["ids_differ_by_every_character"]),
    "ids are cut at 63": (with_ids_cut(63), ["ids_differ_by_every_character"]),
    "ids are patterns": (TakesIdsForPatterns, ["ids_differ_by_every_character"]),
    "a refused one takes its key": (
        TakesTheKeyOfWhatItRefuses,
        ["the_key_of_a_refused_one_is_free"],
    ),
    "claims are not found by key": (
        FindsWhatWasSaved,
        ["what_is_claimed_is_stored_as_it_was_given", "what_another_handle_changed_is_seen"],
    ),
    "a refused save moves the index": (
        ARefusedSaveMovesTheIndex,
        ["a_refused_save_does_not_move_what_is_waited_for"],
    ),
    "no limit is none": (TakesNoLimitForNone, ["none_is_claimed_where_none_is_asked_for"]),
    "the other channel counts": (
        CountsTheOtherChannel,
        ["the_other_channel_does_not_count_towards_the_limit"],
    ),
    "what fails in claiming does not count": (
        CountsOnlyWhatItStarts,
        ["what_fails_in_claiming_counts_towards_the_limit"],
    ),
    "the expired is claimed last": (
        ClaimsTheExpiredLast,
        ["an_expired_claim_is_due_at_the_end_of_its_lease"],
    ),
    "the history is cut at eight": (
        distorting(lambda it: replace(it, history=it.history[-8:])),
        ["the_longest_history_is_kept"],
    ),
    "long reasons are cut": (distorting(_with_a_shorter_reason), ["the_longest_texts_are_kept"]),
    "the provider's long names are cut": (
        distorting(_with_a_shorter_name),
        ["the_longest_texts_are_kept"],
    ),
    "addresses are kept in lower case": (
        distorting(_in_lower_case),
        ["addresses_are_kept_letter_by_letter"],
    ),
    "a line end is added": (
        on_body(lambda body: f"{body}\n" if body.endswith("\r") else body),
        ["text_is_kept_character_by_character"],
    ),
    "expired claims are taken without a lock": (
        LocksOnlyWhatIsQueued,
        [
            "no_expired_claim_is_taken_by_two",
            "the_end_of_a_claim_and_its_outcome_exclude_each_other",
        ],
    ),
    "a broken call leaves its lock behind": (
        LeavesItsLockBehind,
        ["calls_that_are_broken_off_leave_the_store_usable"],
    ),
}
"""Each defect, and contract tests that must catch it."""
