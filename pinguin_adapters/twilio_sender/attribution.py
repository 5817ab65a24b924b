"""Whose message is whose: no message of Twilio's is taken for two notifications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pinguin_core.message import Sms
from pinguin_core.values import NotificationId

REMEMBERED: Final = 20_000
"""How many messages are remembered: the latest, since only those of a doubt's minutes matter."""


class Attributions:
    """Remembers, in this process, which messages belong to notifications already."""

    def __init__(self) -> None:
        self._owners: dict[str, NotificationId] = {}
        self._under_way: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def sending(self, sms: Sms) -> Iterator[None]:
        """Keep in mind meanwhile that a message with this text may appear at any moment."""
        key = (sms.to.value, sms.body)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def is_being_sent(self, sms: Sms) -> bool:
        """Tell whether the same text is under way to the same number."""
        return (sms.to.value, sms.body) in self._under_way

    def own(self, sid: str, owner: NotificationId) -> None:
        """Learn that a message is a notification's."""
        self._owners[sid] = owner
        if len(self._owners) > REMEMBERED:
            del self._owners[next(iter(self._owners))]

    def may_own(self, sid: str, owner: NotificationId) -> bool:
        """Tell whether a message is no other notification's."""
        return self._owners.get(sid, owner) == owner
