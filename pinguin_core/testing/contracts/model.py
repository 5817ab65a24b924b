"""Any program of calls to a repository, against a dictionary that does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pinguin_core.errors import (
    DuplicateNotification,
    InvalidTransition,
    PinguinError,
    StaleNotification,
)
from pinguin_core.message import Channel, Message
from pinguin_core.notification import Notification
from pinguin_core.testing.contracts.base import thoroughly
from pinguin_core.testing.contracts.samples import (
    BACKOFF,
    EMAIL,
    HOUR,
    LEASE,
    LOST,
    RECEIPT,
    REFUSED,
    SMS,
    TICK,
)
from pinguin_core.testing.contracts.storage import Session, StorageContract
from pinguin_core.testing.fakes import NOON
from pinguin_core.values import IdempotencyKey, NotificationId

_MOST = 4  # notifications; a few that much happens to show more than many
_MOST_HANDLES = 3
_Step = Callable[[Notification, datetime], Notification]
_STEPS: list[_Step] = [
    lambda it, now: it.start(now, LEASE),
    lambda it, now: it.succeed(RECEIPT, now),
    lambda it, now: it.fail(LOST, now, BACKOFF),
    lambda it, now: it.fail(REFUSED, now, BACKOFF),
    lambda it, now: it.expire(now),
    lambda it, now: it.orphan(now),
    lambda it, now: it.interrupt(now),
    lambda it, now: it.cancel(now),
    lambda it, now: it.reschedule(now + HOUR, now),
    lambda it, now: it.requeue(now),
]


def taken(step: _Step, before: Notification, now: datetime) -> Notification | None:
    """Take a step, if the state allows it."""
    try:
        return step(before, now)
    except InvalidTransition:
        return None


class Modelled(StorageContract):
    """The test that runs the programs."""

    def test_any_program_of_calls_does_what_a_dictionary_would(self) -> None:
        run_state_machine_as_test(
            lambda: RepositoryMachine(self),  # type: ignore[arg-type]  # documented: "anything which returns an instance"
            settings=thoroughly(self, stateful_step_count=20),
        )


class RepositoryMachine(RuleBasedStateMachine):
    """A repository beside its model, a clock, and the workers' own old copies."""

    known = Bundle("known")

    def __init__(self, contract: StorageContract) -> None:
        super().__init__()
        self.session = Session(contract)
        self.store = self.session.open_handle()
        self.handles = [self.store]
        self.model: dict[NotificationId, Notification] = {}
        self.now = NOON

    def teardown(self) -> None:
        """Close the storage."""
        self.session.close()

    @precondition(lambda self: len(self.model) < _MOST)
    @rule(
        target=known,
        message=st.sampled_from([EMAIL, SMS]),
        ahead=st.sampled_from([0, 1, 60]),
        has_key=st.booleans(),
    )
    def add(self, message: Message, ahead: int, *, has_key: bool) -> NotificationId:
        """Add a new one, due now or in some minutes."""
        name = NotificationId(f"notif-{len(self.model) + 1}")
        due_at = self.now + timedelta(minutes=ahead)
        key = IdempotencyKey(f"key-{name}") if has_key else None
        self.model[name] = Notification.queue(name, message, self.now, due_at, key)
        self.run(self.store.add(self.model[name]))
        return name

    @rule(id=known)
    def add_again(self, id: NotificationId) -> None:
        """Add another one under an id that is taken."""
        again = Notification.queue(id, EMAIL, self.now)
        self.refused(self.store.add(again), DuplicateNotification)

    @rule(id=known)
    def add_with_its_key(self, id: NotificationId) -> None:
        """Add another one with a key that is taken, and find the one that has it."""
        key = self.model[id].idempotency_key
        if key is not None:
            again = Notification.queue(NotificationId("notif-0"), EMAIL, self.now, None, key)
            self.refused(self.store.add(again), DuplicateNotification)
            assert self.model[id] == self.run(self.store.find(key))

    @rule(like=known, limit=st.integers(1, 3))
    def claim(self, like: NotificationId, limit: int) -> None:
        """Claim what is due."""
        channel = self.model[like].channel
        claimed = self.run(self.store.claim_due(channel, self.now, LEASE, limit))
        due = sorted(
            (each.wake_at, name)
            for name, each in self.model.items()
            if each.channel is channel and each.wake_at is not None and each.wake_at <= self.now
        )
        assert [name for _, name in due[:limit]] == [each.id for each in claimed]
        for notification in claimed:
            expected = self.model[notification.id].claim(self.now, LEASE)
            assert expected == notification
            self.model[notification.id] = expected

    @rule(id=known, choice=st.integers(0, len(_STEPS) - 1))
    def save(self, id: NotificationId, choice: int) -> None:
        """Save one of the steps that the state allows."""
        before = self.model[id]
        versions = [each for step in _STEPS if (each := taken(step, before, self.now)) is not None]
        if versions:
            self.model[id] = versions[choice % len(versions)]
            self.run(self.store.save(self.model[id]))

    @rule(id=known, by=st.sampled_from([-1, 1]))
    def save_late(self, id: NotificationId, by: int) -> None:
        """Save a version that does not follow upon the stored one."""
        wrong = replace(self.model[id], version=self.model[id].version + 1 + by)
        self.refused(self.store.save(wrong), StaleNotification)

    @rule(id=known, off=st.sampled_from([timedelta(0), TICK, -TICK]))
    def wait_for(self, id: NotificationId, off: timedelta) -> None:
        """Let the moment come at which one is due or its lease is over, give or take a tick."""
        wake_at = self.model[id].wake_at
        if wake_at is not None:
            self.now = max(self.now, wake_at + off)

    @rule(choice=st.integers(0, _MOST_HANDLES - 1))
    def change_handles(self, choice: int) -> None:
        """Go on with a handle that has not seen what was done since, or with a new one.

        The one that was used is left as it was, as after a crash.
        """
        if choice >= len(self.handles):
            choice = len(self.handles)
            self.handles.append(self.session.open_handle())
        self.store = self.handles[choice]

    @invariant()
    def the_same_is_stored(self) -> None:
        """Look at every notification, and at what waits."""
        self.run(self.compare())

    async def compare(self) -> None:
        """Compare all of the repository with the model."""
        stored = await asyncio.gather(*map(self.store.get, self.model))
        assert list(self.model.values()) == stored
        for channel in Channel:
            moments = [each.wake_at for each in stored if each.channel is channel]
            earliest = min((each for each in moments if each is not None), default=None)
            assert earliest == await self.store.next_wake(channel)

    def refused(self, work: Awaitable[object], refusal: type[PinguinError]) -> None:
        """Have something done that must be refused."""
        try:
            self.run(work)
        except refusal:
            return
        raise AssertionError(f"no {refusal.__name__} was raised")

    def run(self, work: Any) -> Any:
        """Have something done."""
        return self.session.run(work)
