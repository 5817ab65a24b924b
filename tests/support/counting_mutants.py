"""Stores in memory that count SMS, each with one defect that some store may have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from pinguin_core import Channel, Notification, PhoneNumber, Sending, Sent, SmsCount
from pinguin_core.testing.fakes import MemoryRepository


class CountingRepository(MemoryRepository):
    """Counts as it should, in parts that can be replaced one by one."""

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        found = [each for each in self.all() if to in {None, each.message.to}]
        taken = [
            each
            for each in found
            if self.is_sent(each, since)
            or (self.is_another(each, before) and self.is_in_doubt(each, since))
            or self.is_orphaned(each, since, before)
        ]
        under_way = [each for each in found if self.is_under_way(each, before)]
        return SmsCount(len(taken), sum(each not in taken for each in under_way))

    def all(self) -> Iterable[Notification]:
        return [each for each in self._stored.values() if each.channel is Channel.SMS]

    def is_sent(self, each: Notification, since: datetime) -> bool:
        return isinstance(each.state, Sent) and each.state.at >= since

    def is_in_doubt(self, each: Notification, since: datetime) -> bool:
        began = [each.updated_at] if isinstance(each.state, Sending) else []
        ends = [doubt.ended_at for doubt in each.doubts]
        return each.possible_duplicate and max(ends + began) >= since

    def is_orphaned(self, each: Notification, since: datetime, before: Notification) -> bool:
        return (
            isinstance(each.state, Sending)
            and each.updated_at >= since
            and not self.lives(each, before)
        )

    def is_another(self, each: Notification, before: Notification) -> bool:
        return each.id != before.id

    def is_under_way(self, each: Notification, before: Notification) -> bool:
        return (
            isinstance(each.state, Sending)
            and self.lives(each, before)
            and self.is_first(each, before)
        )

    def lives(self, each: Notification, before: Notification) -> bool:
        return (each.wake_at or before.updated_at) > before.updated_at

    def is_first(self, each: Notification, before: Notification) -> bool:
        return each.id < before.id if each.wake_at == before.wake_at else each.id != before.id


class KnowsNoName(CountingRepository):
    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return False


class KnowsNamesForEver(CountingRepository):
    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return await super().has_sent_sms(provider_message_id, datetime.min.replace(tzinfo=UTC))


class KnowsEveryName(CountingRepository):
    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return True


class ComparesNamesLoosely(CountingRepository):
    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return await super().has_sent_sms(provider_message_id.lower(), since)


class CountsNothing(CountingRepository):
    def all(self) -> Iterable[Notification]:
        return []


class CountsEmailToo(CountingRepository):
    def all(self) -> Iterable[Notification]:
        return self._stored.values()


class CountsAllDays(CountingRepository):
    def is_sent(self, each: Notification, since: datetime) -> bool:
        return isinstance(each.state, Sent)


class MissesTheFirstMoment(CountingRepository):
    def is_sent(self, each: Notification, since: datetime) -> bool:
        return isinstance(each.state, Sent) and each.state.at > since


class CountsWhatEnded(CountingRepository):
    """Takes everything that has come to an end for sent."""

    def is_sent(self, each: Notification, since: datetime) -> bool:
        return each.is_final and each.updated_at >= since


class OverlooksDoubts(CountingRepository):
    def is_in_doubt(self, each: Notification, since: datetime) -> bool:
        return False


class OverlooksDoubtsThatFailed(CountingRepository):
    def is_in_doubt(self, each: Notification, since: datetime) -> bool:
        return not each.is_final and super().is_in_doubt(each, since)


class OverlooksDoubtsBeingSent(CountingRepository):
    """Counts them as under way only, and of a batch only some of those."""

    def is_in_doubt(self, each: Notification, since: datetime) -> bool:
        return not isinstance(each.state, Sending) and super().is_in_doubt(each, since)


class RemembersDoubtsForEver(CountingRepository):
    def is_in_doubt(self, each: Notification, since: datetime) -> bool:
        return super().is_in_doubt(each, datetime.min.replace(tzinfo=UTC))


class DoubtsItself(CountingRepository):
    def is_another(self, each: Notification, before: Notification) -> bool:
        return True


class CountsAllRecipients(CountingRepository):
    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        return await super().count_sms(since, before=before)


class CountsWhatWaits(CountingRepository):
    def is_under_way(self, each: Notification, before: Notification) -> bool:
        return each.wake_at is not None and each.id != before.id


class CountsEachOther(CountingRepository):
    def is_first(self, each: Notification, before: Notification) -> bool:
        return each.id != before.id


class LooksAtIdsOnly(CountingRepository):
    def is_first(self, each: Notification, before: Notification) -> bool:
        return each.id < before.id


class LooksAtLeasesOnly(CountingRepository):
    def is_first(self, each: Notification, before: Notification) -> bool:
        return each.wake_at != before.wake_at


class TrustsClocks(CountingRepository):
    """Believes that whose lease ends later was claimed later, and will count itself."""

    def is_first(self, each: Notification, before: Notification) -> bool:
        assert each.wake_at is not None
        assert before.wake_at is not None
        return (each.wake_at, each.id) < (before.wake_at, before.id)


class CountsWhatIsLater(CountingRepository):
    def is_first(self, each: Notification, before: Notification) -> bool:
        assert each.wake_at is not None
        assert before.wake_at is not None
        return (before.wake_at, each.id) < (each.wake_at, before.id)


class CountsItself(CountingRepository):
    def is_first(self, each: Notification, before: Notification) -> bool:
        return each.id == before.id or super().is_first(each, before)


class TakesTheDeadForAlive(CountingRepository):
    def lives(self, each: Notification, before: Notification) -> bool:
        return True


class OverlooksTheDead(CountingRepository):
    def is_orphaned(self, each: Notification, since: datetime, before: Notification) -> bool:
        return False


class RemembersTheDeadForEver(CountingRepository):
    def is_orphaned(self, each: Notification, since: datetime, before: Notification) -> bool:
        return super().is_orphaned(each, datetime.min.replace(tzinfo=UTC), before)


class CountsItsOwn(CountingRepository):
    """Counts what this process has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: set[object] = set()

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        self.saved.add(notification.id)

    def is_sent(self, each: Notification, since: datetime) -> bool:
        return super().is_sent(each, since) and each.id in self.saved


_NAMED: Final = "an_sms_that_was_sent_is_known_by_its_name"
_EMAIL: Final = "an_e_mail_is_no_sms"
_NOTHING: Final = "at_first_nothing_is_counted"
_SINCE: Final = "what_was_sent_since_is_counted"
_EACH: Final = "each_recipient_can_be_counted_for_itself"
_NOT_SENT: Final = "what_was_not_sent_is_not_counted"
_DOUBT: Final = "what_is_in_doubt_is_counted_as_sent"
_ITSELF: Final = "what_is_in_doubt_counts_for_others_and_not_for_itself"
_CLEARED: Final = "what_is_no_longer_in_doubt_is_counted_once"
_BATCH: Final = "of_those_claimed_at_once_what_has_a_lower_id_is_counted"
_OTHERS: Final = "whatever_was_claimed_before_or_after_is_counted"
_CLOCKS: Final = "what_was_claimed_earlier_by_a_later_clock_is_counted"
_DEAD: Final = "what_a_dead_worker_was_sending_is_counted_as_sent"
_ALL: Final = "all_that_use_the_storage_are_counted"

COUNTING_MUTANTS: Final[dict[str, tuple[type[CountingRepository], list[str]]]] = {
    "no name is known": (KnowsNoName, [_NAMED]),
    "names are known for ever": (KnowsNamesForEver, [_NAMED]),
    "every name is known": (KnowsEveryName, [_NAMED, _EMAIL, _CLEARED]),
    "names are compared loosely": (ComparesNamesLoosely, [_NAMED]),
    "nothing is counted": (CountsNothing, [_SINCE, _EACH, _BATCH, _OTHERS, _CLOCKS, _ALL]),
    "e-mail is counted": (CountsEmailToo, [_NOT_SENT]),
    "all days are counted": (CountsAllDays, [_SINCE]),
    "the first moment is missed": (MissesTheFirstMoment, [_SINCE]),
    "what failed is counted": (CountsWhatEnded, [_NOT_SENT]),
    "doubts are overlooked": (OverlooksDoubts, [_DOUBT, _ITSELF]),
    "doubts that failed are overlooked": (OverlooksDoubtsThatFailed, [_DOUBT]),
    "doubts being sent are under way": (OverlooksDoubtsBeingSent, [_DOUBT, _ITSELF]),
    "doubts are remembered for ever": (RemembersDoubtsForEver, [_DOUBT]),
    "it counts its own doubt": (DoubtsItself, [_ITSELF]),
    "all recipients are counted": (CountsAllRecipients, [_EACH]),
    "what waits is counted": (CountsWhatWaits, [_NOT_SENT]),
    "two of a batch count each other": (CountsEachOther, [_BATCH]),
    "leases are not compared": (LooksAtIdsOnly, [_OTHERS, _CLOCKS]),
    "ids are not compared": (LooksAtLeasesOnly, [_BATCH]),
    "clocks are trusted": (TrustsClocks, [_OTHERS, _CLOCKS]),
    "what is earlier is not counted": (CountsWhatIsLater, [_EACH, _OTHERS, _ALL]),
    "it counts itself": (CountsItself, [_NOTHING, _SINCE, _BATCH, _OTHERS, _CLOCKS]),
    "the dead are under way": (TakesTheDeadForAlive, [_DEAD]),
    "the dead are overlooked": (OverlooksTheDead, [_DEAD]),
    "the dead are remembered for ever": (RemembersTheDeadForEver, [_DEAD]),
    "only its own are counted": (CountsItsOwn, [_ALL]),
}
"""Each defect, and contract tests that must catch it."""
