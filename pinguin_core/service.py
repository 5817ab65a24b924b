"""The callers' verbs: what an application asks of Pinguin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from pinguin_core.errors import ChannelDisabled
from pinguin_core.message import Channel, Message
from pinguin_core.notification import Notification
from pinguin_core.ports import Clock, IdGenerator, NotificationRepository, Observer
from pinguin_core.system import GuardedObserver, NullObserver, SystemClock, TimeSortedIds
from pinguin_core.values import NotificationId

_NONE_DISABLED: Final[Mapping[Channel, str]] = MappingProxyType({})


class NotificationService:
    """Accepts notifications and says what became of them.

    Args:
        repository: where notifications are kept.
        on_queued: told of each notification once it is stored; give it `Dispatcher.wake`.
        disabled: the channels that have no provider, each with what an operator can do about it.
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
    ) -> None:
        self._repository = repository
        self._clock = clock or SystemClock()
        self._ids = ids or TimeSortedIds()
        self._on_queued = on_queued
        self._observer = GuardedObserver(observer or NullObserver())
        self._disabled = disabled

    async def send(self, message: Message, *, scheduled_at: datetime | None = None) -> Notification:
        """Accept a message: when this returns, it is stored durably and will be delivered.

        Args:
            message: what to send, and to whom.
            scheduled_at: when to send it, with a time zone; at once if absent or past.

        Raises:
            ChannelDisabled: if the message's channel has no provider.
            InvalidValue: if `scheduled_at` carries no zone.
            StoreUnavailable: if it could not be stored; it may be tried again.
            StoreFull: if there is no room for it.
        """
        if remedy := self._disabled.get(message.channel):
            raise ChannelDisabled(message.channel.value, remedy)
        now = self._clock.now()
        queued = Notification.queue(self._ids.next_id(now), message, now, scheduled_at)
        await self._repository.add(queued)
        self._observer.on_change(queued)
        self._announce(queued)
        return queued

    async def get(self, notification_id: NotificationId) -> Notification:
        """Return a notification as it stands now.

        Raises:
            NotificationNotFound: if there is none.
            StoreUnavailable: if the store cannot be read.
        """
        return await self._repository.get(notification_id)

    def _announce(self, queued: Notification) -> None:
        if self._on_queued is None:
            return
        try:
            self._on_queued(queued)
        except Exception as error:  # noqa: BLE001 (it is stored: refusing it would invite a second)
            self._observer.on_trouble(f"announcing {queued.id}", error)
