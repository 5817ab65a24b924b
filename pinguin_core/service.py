"""The callers' verbs: what an application asks of Pinguin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from pinguin_core.errors import (
    ChannelDisabled,
    DuplicateNotification,
    InvalidValue,
    StoreFull,
)
from pinguin_core.message import Channel, Message, Sms
from pinguin_core.notification import Notification
from pinguin_core.ports import Clock, IdGenerator, NotificationRepository, Observer
from pinguin_core.sms_rules import SmsRules
from pinguin_core.system import GuardedObserver, NullObserver, SystemClock, TimeSortedIds
from pinguin_core.values import IdempotencyKey, NotificationId

_NONE_DISABLED: Final[Mapping[Channel, str]] = MappingProxyType({})
_NO_RULES: Final = SmsRules()

_REFUSALS: Final = (ChannelDisabled, DuplicateNotification, InvalidValue, StoreFull)
"""What a request may meet that was accepted the first time: settings and room change."""


class NotificationService:
    """Accepts notifications, and returns their state.

    Args:
        repository: where notifications are kept.
        on_queued: called with each notification once it is stored; pass `Dispatcher.wake`.
        disabled: the channels without a provider, each with what an operator can do about it.
        sms_rules: which SMS are accepted, and how they are changed before they are stored.
    """

    def __init__(
        self,
        repository: NotificationRepository,
        *,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
        on_queued: Callable[[Notification], None] | None = None,
        observer: Observer | None = None,
        disabled: Mapping[Channel, str] = _NONE_DISABLED,
        sms_rules: SmsRules = _NO_RULES,
    ) -> None:
        self._repository = repository
        self._clock = clock or SystemClock()
        self._ids = ids or TimeSortedIds()
        self._on_queued = on_queued
        self._observer = GuardedObserver(observer or NullObserver())
        self._disabled = disabled
        self._sms_rules = sms_rules

    async def send(
        self,
        message: Message,
        *,
        scheduled_at: datetime | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Notification:
        """Accept a message: when this returns, it is stored durably and will be delivered.

        Args:
            message: what to send, and to whom.
            scheduled_at: when to send it, with a time zone; at once if absent or past.
            idempotency_key: unique for this request. If a request repeats the key, in whichever
                process, the notification of the first request is returned, and nothing is sent a
                second time. A key is remembered as long as its notification is stored.

        Raises:
            ChannelDisabled: if the message's channel has no provider.
            IdempotencyConflict: if the key was used before with a different message or time.
            InvalidValue: if `scheduled_at` is not timezone-aware, or an SMS is against the rules.
            StoreUnavailable: if it could not be stored; it may be tried again.
            StoreFull: if there is no room for it.
        """
        now = self._clock.now()
        asked = Notification.queue(
            self._ids.next_id(now), message, now, scheduled_at, idempotency_key
        )
        try:
            queued = replace(asked, message=self._admitted(message))
            await self._repository.add(queued)
        except _REFUSALS:
            if first := await self._first_like(asked):
                return first
            raise
        self._observer.on_change(queued)
        self._announce(queued)
        return queued

    async def get(self, notification_id: NotificationId) -> Notification:
        """Return the current state of a notification.

        Raises:
            NotificationNotFound: if there is none.
            StoreUnavailable: if the store cannot be read.
        """
        return await self._repository.get(notification_id)

    def _admitted(self, message: Message) -> Message:
        if remedy := self._disabled.get(message.channel):
            raise ChannelDisabled(message.channel.value, remedy)
        return self._sms_rules.admit(message) if isinstance(message, Sms) else message

    async def _first_like(self, asked: Notification) -> Notification | None:
        """Return the notification that the request for this one made when it came before."""
        if asked.idempotency_key is None:
            return None
        first = await self._repository.find(asked.idempotency_key)
        return first and first.unless_other_than(asked)

    def _announce(self, queued: Notification) -> None:
        if self._on_queued is None:
            return
        try:
            self._on_queued(queued)
        except Exception as error:  # noqa: BLE001 (it is stored: refusing it would invite a second)
            self._observer.on_trouble(f"announcing {queued.id}", error)
