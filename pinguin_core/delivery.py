"""How a channel's messages reach its sender, which may have to look before it sends again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Generic

from pinguin_core.errors import PinguinError, TransientDeliveryError
from pinguin_core.history import Attempt
from pinguin_core.notification import Notification, Receipt
from pinguin_core.ports import (
    IsTaken,
    MessageT_contra,
    NotificationRepository,
    Reconciler,
    Sender,
    SmsLedger,
)

_CLOCKS: Final = timedelta(hours=1)
"""By how much the clocks of those who share a store differ at the most."""


class Delivery(Generic[MessageT_contra]):
    """Hands notifications to one sender.

    Args:
        kind: the messages that the sender takes.
        repository: is asked what was sent for other notifications, if it can tell.
    """

    def __init__(
        self,
        kind: type[MessageT_contra],
        sender: Sender[MessageT_contra],
        repository: NotificationRepository,
    ) -> None:
        self._kind: type[MessageT_contra] = kind
        self._sender: Sender[MessageT_contra] = sender
        self._repository = repository

    async def send(self, notification: Notification) -> Receipt:
        """Deliver it; see `Sender.send`."""
        message = self._message(notification)
        receipt: Receipt = await self._sender.send(
            message, id=notification.id, date=notification.date
        )
        return receipt

    async def find(self, notification: Notification) -> Receipt | None:
        """Look for what its attempts in doubt may have delivered; see `Reconciler.find_sent`.

        Returns:
            None as well if there is no doubt, or the sender cannot look.
        """
        doubts = notification.doubts
        if not doubts or not isinstance(self._sender, Reconciler):
            return None
        found: Receipt | None = await self._sender.find_sent(
            self._message(notification),
            id=notification.id,
            doubts=doubts,
            is_taken=self._is_taken(doubts),
        )
        return found

    def _message(self, notification: Notification) -> MessageT_contra:
        if not isinstance(notification.message, self._kind):
            kind = type(notification.message).__name__
            raise TypeError(f"the store gave a {kind} to the wrong lane")
        message: MessageT_contra = notification.message
        return message

    def _is_taken(self, doubts: Sequence[Attempt]) -> IsTaken:
        """Say how to ask the store for what others have sent since the first doubt."""
        since = doubts[0].started_at - _CLOCKS

        async def ask(provider_message_id: str) -> bool:
            if not isinstance(self._repository, SmsLedger):
                return False
            try:
                return await self._repository.has_sent_sms(provider_message_id, since)
            except PinguinError as error:
                problem = "which messages belong to other notifications cannot be checked now"
                raise TransientDeliveryError(problem) from error

        return ask
