"""What `NotificationRepository` promises of `add`, `get` and `save`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pinguin_core.errors import (
    DuplicateNotification,
    NotificationNotFound,
    PermanentDeliveryError,
    StaleNotification,
)
from pinguin_core.message import MAX_SMS_TEXT, MAX_SUBJECT, Email, Sms
from pinguin_core.notification import MOST_ATTEMPTS, Notification, Queued, Receipt
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing import awkward
from pinguin_core.testing.contracts.samples import (
    BACKOFF,
    BUSY,
    EMAIL,
    HOUR,
    KEY,
    LEASE,
    LOST,
    RECEIPT,
    REFUSED,
    SMS,
    TICK,
    keyed,
    queued,
)
from pinguin_core.testing.contracts.storage import StorageContract, with_store
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import FIRST_MOMENT, LAST_MOMENT
from pinguin_core.values import (
    MAX_IDEMPOTENCY_KEY,
    MAX_LOCAL_PART,
    EmailAddress,
    IdempotencyKey,
    NotificationId,
    PhoneNumber,
)

_LARGEST_BODY = 1_000_000  # characters, of four bytes each: all that a request can carry
_LONG = 1_000  # characters; nothing limits what a provider calls a message, or says of it
_LONGEST_ID = 64


class Keeping(StorageContract):
    """Tests of what is written and read back."""

    @with_store
    async def test_what_was_added_is_found(self, store: NotificationRepository) -> None:
        email, text = queued("notif-1", EMAIL), queued("notif-2", SMS)
        await store.add(email)
        await store.add(text)
        assert email == await store.get(email.id)
        assert text == await store.get(text.id)

    @with_store
    async def test_an_unknown_id_is_not_found(self, store: NotificationRepository) -> None:
        await store.add(queued("notif-1"))
        with pytest.raises(NotificationNotFound):
            await store.get(NotificationId("notif-2"))

    @with_store
    async def test_ids_differ_by_case(self, store: NotificationRepository) -> None:
        upper, lower = queued("notif-A"), queued("notif-a")
        await store.add(upper)
        await store.add(lower)
        assert upper == await store.get(upper.id)
        assert lower == await store.get(lower.id)

    @with_store
    async def test_ids_differ_by_every_character(self, store: NotificationRepository) -> None:
        names = ["notif-1", "notif1", "notif_1", "notif--1", "n" * 64, "n" * 63, "n" * 63 + "m"]
        many = [queued(name) for name in names]
        for notification in many:
            await store.add(notification)
        assert many == [await store.get(notification.id) for notification in many]
        for name in "notif__1", "______1", "n" * 62:
            with pytest.raises(NotificationNotFound):
                await store.get(NotificationId(name))

    @with_store
    async def test_an_id_is_added_once(self, store: NotificationRepository) -> None:
        """The second is refused, and the first stays as it was."""
        first = queued("notif-1", EMAIL)
        await store.add(first)
        with pytest.raises(DuplicateNotification):
            await store.add(queued("notif-1", SMS))
        assert first == await store.get(first.id)

    @with_store
    async def test_an_id_is_taken_for_all_time(self, store: NotificationRepository) -> None:
        """Also where what had it first will never be looked at again."""
        await store.add(queued())
        await store.save(queued().cancel(NOON))
        with pytest.raises(DuplicateNotification):
            await store.add(queued())
        assert queued().cancel(NOON) == await store.get(queued().id)

    @with_store
    async def test_a_later_version_is_not_added_over_an_earlier(
        self, store: NotificationRepository
    ) -> None:
        first = queued()
        await store.add(first)
        with pytest.raises(DuplicateNotification):
            await store.add(first.cancel(NOON))
        assert first == await store.get(first.id)

    @with_store
    async def test_an_idempotency_key_is_added_once(self, store: NotificationRepository) -> None:
        """The second is refused, and the first stays as it was and is found by the key."""
        first, second = keyed("notif-1"), keyed("notif-2")
        await store.add(first)
        with pytest.raises(DuplicateNotification):
            await store.add(second)
        with pytest.raises(NotificationNotFound):
            await store.get(second.id)
        assert first == await store.get(first.id) == await store.find(KEY)

    @with_store
    async def test_the_key_of_a_refused_one_is_free(self, store: NotificationRepository) -> None:
        await store.add(queued("notif-1"))
        with pytest.raises(DuplicateNotification):
            await store.add(keyed("notif-1"))
        assert await store.find(KEY) is None
        await store.add(keyed("notif-2"))
        assert keyed("notif-2") == await store.find(KEY)

    @with_store
    async def test_a_key_is_taken_for_all_the_life_of_its_notification(
        self, store: NotificationRepository
    ) -> None:
        first = keyed("notif-1")
        await store.add(first)
        for version in (ended := first.start(NOON, LEASE)), ended.succeed(RECEIPT, NOON):
            await store.save(version)
            with pytest.raises(DuplicateNotification):
                await store.add(keyed("notif-2"))
            assert version == await store.find(KEY)

    @with_store
    async def test_an_unknown_key_finds_nothing(self, store: NotificationRepository) -> None:
        await store.add(keyed("notif-1"))
        await store.add(queued("notif-2"))
        assert await store.find(IdempotencyKey("another")) is None

    @with_store
    async def test_keys_differ_by_every_character(self, store: NotificationRepository) -> None:
        keys = ["key", "KEY", "key_", "key%", "k" * MAX_IDEMPOTENCY_KEY, "k" * 254 + "K"]
        for number, key in enumerate(map(IdempotencyKey, keys)):
            notification = keyed(f"notif-{number}", key)
            await store.add(notification)
            assert notification == await store.find(key)

    @with_store
    async def test_any_number_may_have_no_key(self, store: NotificationRepository) -> None:
        for number in range(3):
            notification = queued(f"notif-{number}")
            assert notification == await _kept(store, notification)

    @with_store
    async def test_the_next_version_replaces_the_one_before(
        self, store: NotificationRepository
    ) -> None:
        first, other = queued("notif-1"), queued("notif-2")
        await store.add(first)
        await store.add(other)
        await store.save(first.cancel(NOON + HOUR))
        assert first.cancel(NOON + HOUR) == await store.get(first.id)
        assert other == await store.get(other.id)

    @with_store
    async def test_every_step_of_a_long_life_is_kept(self, store: NotificationRepository) -> None:
        life = _long_life()
        await store.add(life[0])
        for version in life[1:]:
            await store.save(version)
            assert version == await store.get(version.id)

    @with_store
    async def test_the_longest_history_is_kept(self, store: NotificationRepository) -> None:
        life = _attempted_too_often()
        await store.add(life[0])
        for version in life[1:]:
            await store.save(version)
            kept = await store.get(version.id)
            same = version == kept  # comparing within assert would print both
            assert same

    @with_store
    async def test_a_version_is_saved_once(self, store: NotificationRepository) -> None:
        """Of two who took a step from the same version, the second learns that he is late."""
        first = queued()
        await store.add(first)
        await store.save(first.start(NOON, LEASE))
        with pytest.raises(StaleNotification):
            await store.save(first.cancel(NOON))
        assert first.start(NOON, LEASE) == await store.get(first.id)

    @with_store
    async def test_no_version_is_skipped(self, store: NotificationRepository) -> None:
        first = queued()
        await store.add(first)
        with pytest.raises(StaleNotification):
            await store.save(first.start(NOON, LEASE).succeed(RECEIPT, NOON))
        assert first == await store.get(first.id)

    @with_store
    async def test_the_stored_version_itself_is_stale(self, store: NotificationRepository) -> None:
        first = queued()
        await store.add(first)
        with pytest.raises(StaleNotification):
            await store.save(replace(first, possible_duplicate=True))
        assert first == await store.get(first.id)

    @with_store
    async def test_what_was_never_added_cannot_be_saved(
        self, store: NotificationRepository
    ) -> None:
        stranger = queued().cancel(NOON)
        with pytest.raises(StaleNotification):
            await store.save(stranger)
        with pytest.raises(NotificationNotFound):
            await store.get(stranger.id)

    @with_store
    async def test_times_keep_their_microseconds(self, store: NotificationRepository) -> None:
        moment = datetime(2030, 3, 31, 1, 59, 59, 999_999, tzinfo=UTC)
        kept = await _kept(store, _at(moment))
        assert moment == kept.created_at == kept.updated_at == kept.scheduled_at == kept.wake_at

    @with_store
    async def test_times_come_back_in_utc(self, store: NotificationRepository) -> None:
        kept = await _kept(store, _at(NOON))
        moments = [kept.created_at, kept.updated_at, kept.scheduled_at, kept.wake_at]
        assert ["UTC"] * len(moments) == [moment and moment.tzname() for moment in moments]

    @with_store
    async def test_the_ends_of_time_are_kept(self, store: NotificationRepository) -> None:
        for number, moment in enumerate([FIRST_MOMENT, LAST_MOMENT]):
            notification = _at(moment, f"notif-{number}")
            assert notification == await _kept(store, notification)

    @with_store
    async def test_text_is_kept_character_by_character(self, store: NotificationRepository) -> None:
        """Not normalised, nor trimmed, and with the line ends it came with."""
        texts = [EMAIL.subject, *awkward.TEXTS]
        for number, body in enumerate([*awkward.TEXTS, *awkward.LINES]):
            message = Email(EMAIL.to, texts[number % len(texts)], body)
            notification = queued(f"notif-{number}", message)
            assert notification == await _kept(store, notification)

    @with_store
    async def test_the_subject_of_an_sms_is_kept(self, store: NotificationRepository) -> None:
        notification = queued(message=Sms(SMS.to, SMS.body, "Hi"))
        assert notification == await _kept(store, notification)

    @with_store
    async def test_addresses_are_kept_letter_by_letter(self, store: NotificationRepository) -> None:
        for number, address in enumerate(
            ["Ada.L@Example.COM", "ada.l@example.com", "aDA@bÜcher.de"]
        ):
            message = Email(EmailAddress(address), "Hi", "Hello")
            notification = queued(f"notif-{number}", message)
            assert notification == await _kept(store, notification)

    @with_store
    async def test_the_longest_texts_are_kept(self, store: NotificationRepository) -> None:
        for notification in _longest_texts():
            kept = await _kept(store, notification)
            assert notification == kept

    @with_store
    async def test_the_greatest_counts_are_kept(self, store: NotificationRepository) -> None:
        most = 2**31 - 1
        counted = replace(queued(), attempts=most, retries=most, crashes=most, version=most - 1)
        assert counted == await _kept(store, counted)
        await store.save(replace(counted, version=most))
        assert replace(counted, version=most) == await store.get(counted.id)

    @with_store
    async def test_the_largest_body_is_kept(self, store: NotificationRepository) -> None:
        notification = queued(message=Email(EMAIL.to, "", "😀" * _LARGEST_BODY))
        kept = await _kept(store, notification)
        same = notification == kept  # comparing within assert would print both
        assert same


async def _kept(store: NotificationRepository, notification: Notification) -> Notification:
    await store.add(notification)
    return await store.get(notification.id)


def _at(moment: datetime, name: str = "notif-1") -> Notification:
    return Notification(NotificationId(name), EMAIL, Queued(moment), moment, moment, moment)


def _long_life() -> list[Notification]:
    """List the versions of one that met with everything: retried, refused, requeued, sent."""
    life = [keyed()]
    life.append(life[-1].reschedule(NOON + HOUR, NOON))
    life.append(life[-1].start(NOON + HOUR, LEASE))
    life.append(life[-1].orphan(NOON + HOUR + TICK))
    life.append(life[-1].expire(NOON + HOUR + TICK))
    life.append(life[-1].start(NOON + 2 * HOUR, LEASE))
    life.append(life[-1].fail(REFUSED, NOON + 2 * HOUR, BACKOFF))
    life.append(life[-1].requeue(NOON + 3 * HOUR))
    life.append(life[-1].start(NOON + 3 * HOUR, LEASE))
    life.append(life[-1].fail(LOST, NOON + 3 * HOUR, BACKOFF))
    life.append(life[-1].start(NOON + 4 * HOUR, LEASE))
    life.append(life[-1].interrupt(NOON + 4 * HOUR))
    life.append(life[-1].start(NOON + 4 * HOUR, LEASE))
    life.append(life[-1].succeed(RECEIPT, NOON + 4 * HOUR))
    return life


def _attempted_too_often() -> list[Notification]:
    """List the last versions of one whose history has no room left."""
    life = [queued()]
    for _ in range(MOST_ATTEMPTS + 1):
        life.append(life[-1].start(NOON, LEASE))
        life.append(life[-1].postpone(BUSY, NOON, NOON))
    assert len(life[-1].history) == MOST_ATTEMPTS
    return life[-3:]


def _longest_texts() -> list[Notification]:
    """List some that together have each text at its longest, of characters of four bytes each."""
    name = "n" * (_LONGEST_ID - 1)
    text = "😀" * _LONG
    to = EmailAddress(f"{'ü' * (MAX_LOCAL_PART // 2)}@{'d' * 63}.{'e' * 63}.example")
    email = queued(f"{name}1", Email(to, "😀" * MAX_SUBJECT, "Hello"))
    sms = queued(
        f"{name}2", Sms(PhoneNumber(f"+{'1' * 15}"), "😀" * MAX_SMS_TEXT, "😀" * MAX_SUBJECT)
    )
    refused = PermanentDeliveryError(text, code=text)
    return [
        email.start(NOON, LEASE).succeed(Receipt(text, text, text), NOON),
        sms.start(NOON, LEASE).fail(refused, NOON, BACKOFF),
        keyed(f"{name}3", IdempotencyKey("k" * MAX_IDEMPOTENCY_KEY)),
    ]
