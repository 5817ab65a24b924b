"""What `SmsLedger` promises of stores that can say how many SMS were sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pinguin_core.message import Channel, Sms
from pinguin_core.notification import Notification
from pinguin_core.ports import SmsCount
from pinguin_core.retry import ExponentialBackoff
from pinguin_core.testing.contracts.samples import (
    BACKOFF,
    BUSY,
    EMAIL,
    HOUR,
    LEASE,
    LOST,
    RECEIPT,
    REFUSED,
    SMS,
    TICK,
    queued,
)
from pinguin_core.testing.contracts.storage import (
    Connect,
    StorageContract,
    with_storage,
    with_store,
)
from pinguin_core.testing.fakes import NOON
from pinguin_core.values import PhoneNumber

_ELSEWHERE = Sms(PhoneNumber("+15550100199"), "Hello")
_ONE = timedelta(seconds=1)
_NO_RETRY = ExponentialBackoff(max_retries=0)


class SmsLedgerContract(StorageContract):
    """All that an `SmsLedger` promises besides what it promises as a store."""

    @with_store
    async def test_at_first_nothing_is_counted(self, store: Any) -> None:
        claimed = await _claimed(store, "notif-1")
        assert await store.count_sms(NOON, before=claimed) == SmsCount(0, 0)
        assert await store.count_sms(NOON, before=claimed, to=SMS.to) == SmsCount(0, 0)

    @with_store
    async def test_what_was_sent_since_is_counted(self, store: Any) -> None:
        """At the very moment, and not before it."""
        for number, moment in enumerate([NOON - TICK, NOON, NOON + _ONE]):
            await _sent(store, f"notif-{number}", at=moment)
        claimed = await _claimed(store, "notif-9", now=NOON + HOUR)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(2, 0)
        assert await store.count_sms(NOON - TICK, before=claimed) == SmsCount(3, 0)
        assert await store.count_sms(NOON + HOUR, before=claimed) == SmsCount(0, 0)

    @with_store
    async def test_each_recipient_can_be_counted_for_itself(self, store: Any) -> None:
        await _sent(store, "notif-1")
        await _sent(store, "notif-2", _ELSEWHERE)
        await _sent(store, "notif-3", _ELSEWHERE)
        await _claimed(store, "notif-4", _ELSEWHERE)
        claimed = await _claimed(store, "notif-9", now=NOON + _ONE)
        assert await store.count_sms(NOON, before=claimed, to=SMS.to) == SmsCount(1, 0)
        assert await store.count_sms(NOON, before=claimed, to=_ELSEWHERE.to) == SmsCount(2, 1)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(3, 1)

    @with_store
    async def test_what_was_not_sent_is_not_counted(self, store: Any) -> None:
        """Nor is e-mail."""
        await store.save((await _claimed(store, "notif-1")).fail(REFUSED, NOON, BACKOFF))
        await store.save((await _claimed(store, "notif-2")).fail(BUSY, NOON, BACKOFF))
        await store.add(queued("notif-3", SMS, NOON + HOUR))
        cancelled = queued("notif-4", SMS, NOON + HOUR)
        await store.add(cancelled)
        await store.save(cancelled.cancel(NOON))
        await store.add(queued("notif-5", EMAIL))
        [mail] = await store.claim_due(Channel.EMAIL, NOON, LEASE, 1)
        await store.save(mail.succeed(RECEIPT, NOON))
        await store.add(queued("notif-6", EMAIL))
        await store.claim_due(Channel.EMAIL, NOON, LEASE, 1)
        claimed = await _claimed(store, "notif-9", now=NOON + _ONE)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(0, 0)

    @with_store
    async def test_what_is_in_doubt_is_counted_as_sent(self, store: Any) -> None:
        """Whether it waits, has failed or is being sent again."""
        for number, moment in enumerate([NOON - TICK, NOON, NOON + _ONE]):
            await _in_doubt(store, f"notif-{number}", at=moment)
        await store.save((await _claimed(store, "notif-3")).fail(LOST, NOON, _NO_RETRY))
        claimed = await _claimed(store, "notif-8", now=NOON + _ONE)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(3, 0)
        assert await store.count_sms(NOON, before=claimed, to=SMS.to) == SmsCount(3, 0)
        assert await store.count_sms(NOON, before=claimed, to=_ELSEWHERE.to) == SmsCount(0, 0)
        assert await store.count_sms(NOON + TICK, before=claimed) == SmsCount(1, 0)
        later = NOON + HOUR
        await store.claim_due(Channel.SMS, later, LEASE, 9)
        claimed = await _claimed(store, "notif-9", now=later + _ONE)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(5, 0)
        assert await store.count_sms(later, before=claimed) == SmsCount(4, 0)

    @with_store
    async def test_what_is_in_doubt_counts_for_others_and_not_for_itself(self, store: Any) -> None:
        """Also if they are claimed at once, whichever has the lower id."""
        await _in_doubt(store, "notif-2")
        await store.add(queued("notif-1", SMS, NOON + HOUR))
        claims = await store.claim_due(Channel.SMS, NOON + HOUR, LEASE, 2)
        counts = {str(each.id): await store.count_sms(NOON, before=each) for each in claims}
        assert counts == {"notif-2": SmsCount(0, 1), "notif-1": SmsCount(1, 0)}

    @with_store
    async def test_what_is_no_longer_in_doubt_is_counted_once(self, store: Any) -> None:
        """Nor does a name that it never had become known."""
        await _in_doubt(store, "notif-1")
        assert not await store.has_sent_sms("", NOON)
        [again] = await store.claim_due(Channel.SMS, NOON + HOUR, LEASE, 1)
        await store.save(again.succeed(RECEIPT, NOON + HOUR))
        claimed = await _claimed(store, "notif-9", now=NOON + HOUR)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(1, 0)

    @with_store
    async def test_of_those_claimed_at_once_what_has_a_lower_id_is_counted(
        self, store: Any
    ) -> None:
        """So that of a batch that meets a limit some are sent, and not all or none."""
        for name in ("notif-5", "notif-3", "notif-4"):
            await store.add(queued(name, SMS))
        claims = await store.claim_due(Channel.SMS, NOON, LEASE, 3)
        for place, claimed in enumerate(sorted(claims, key=lambda claimed: claimed.id)):
            assert await store.count_sms(NOON, before=claimed) == SmsCount(0, place)

    @with_store
    async def test_whatever_was_claimed_before_or_after_is_counted(self, store: Any) -> None:
        """Each of two processes counts the other's, so that whoever counts last is not mistaken."""
        first = await _claimed(store, "notif-2", now=NOON)
        second = await _claimed(store, "notif-1", now=NOON + _ONE)
        for claimed in (first, second):
            assert await store.count_sms(NOON, before=claimed) == SmsCount(0, 1)

    @with_store
    async def test_what_was_claimed_earlier_by_a_later_clock_is_counted(self, store: Any) -> None:
        """Clocks differ, and a claim may wait for its turn after its clock was read."""
        first = await _claimed(store, "notif-2", now=NOON + _ONE)
        assert await store.count_sms(NOON, before=first) == SmsCount(0, 0)
        second = await _claimed(store, "notif-1", now=NOON)
        assert await store.count_sms(NOON, before=second) == SmsCount(0, 1)

    @with_store
    async def test_what_a_dead_worker_was_sending_is_counted_as_sent(self, store: Any) -> None:
        """And not as under way; from the moment on at which its attempt began."""
        await _claimed(store, "notif-1", now=NOON)
        await store.add(queued("notif-2", SMS, NOON + LEASE - _ONE))
        [claimed] = await store.claim_due(Channel.SMS, NOON + LEASE - TICK, LEASE, 2)
        assert await store.count_sms(NOON, before=claimed) == SmsCount(0, 1)
        moment = NOON + LEASE - TICK
        await store.save(claimed.hold("not yet", moment, moment))
        [again] = await store.claim_due(Channel.SMS, NOON + LEASE, LEASE, 1)
        assert again.id == claimed.id
        assert await store.count_sms(NOON, before=again) == SmsCount(1, 0)
        assert await store.count_sms(NOON + TICK, before=again) == SmsCount(0, 0)

    @with_store
    async def test_an_sms_that_was_sent_is_known_by_its_name(self, store: Any) -> None:
        await _sent(store, "notif-1", at=NOON)
        await store.add(queued("notif-2", SMS, NOON + HOUR))
        name = RECEIPT.provider_message_id
        assert await store.has_sent_sms(name, NOON)
        assert not await store.has_sent_sms(name, NOON + TICK)
        for other in ("", name.upper()):
            assert not await store.has_sent_sms(other, NOON - HOUR)

    @with_store
    async def test_an_e_mail_is_no_sms(self, store: Any) -> None:
        await store.add(queued("notif-1", EMAIL))
        [mail] = await store.claim_due(Channel.EMAIL, NOON, LEASE, 1)
        await store.save(mail.succeed(RECEIPT, NOON))
        assert not await store.has_sent_sms(RECEIPT.provider_message_id, NOON)

    @with_storage
    async def test_all_that_use_the_storage_are_counted(self, connect: Connect) -> None:
        async with connect() as one, connect() as other:
            stores: list[Any] = [one, other]
            await _sent(stores[0], "notif-1")
            await _claimed(stores[0], "notif-2")
            claimed = await _claimed(stores[1], "notif-3", now=NOON + _ONE)
            for store in stores:
                assert await store.count_sms(NOON, before=claimed) == SmsCount(1, 1)


async def _claimed(
    store: Any, name: str, message: Sms = SMS, *, now: datetime = NOON
) -> Notification:
    await store.add(queued(name, message))
    [claimed] = await store.claim_due(Channel.SMS, now, LEASE, 1)
    assert isinstance(claimed, Notification)
    return claimed


async def _in_doubt(store: Any, name: str, *, at: datetime = NOON) -> None:
    claimed = await _claimed(store, name)
    await store.save(claimed.fail(LOST, at, BACKOFF))


async def _sent(store: Any, name: str, message: Sms = SMS, *, at: datetime = NOON) -> None:
    claimed = await _claimed(store, name, message)
    await store.save(claimed.succeed(RECEIPT, at))
