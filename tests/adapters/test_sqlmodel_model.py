"""Whatever is done in whatever order, the store in SQL answers as the one in memory does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from support.sqlmodel_stores import email, opened, sms

from pinguin_core import (
    Channel,
    DeliveryError,
    ExponentialBackoff,
    Notification,
    NotificationId,
    PermanentDeliveryError,
    PinguinError,
    Queued,
    Receipt,
    Sending,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON, MemoryRepository

LEASE = timedelta(seconds=60)
NAMES = st.sampled_from([f"notif-{n}" for n in range(6)])
CHANNELS = st.sampled_from(Channel)
SECONDS = st.integers(0, 90).map(lambda seconds: timedelta(seconds=seconds))
ERRORS: st.SearchStrategy[DeliveryError] = st.sampled_from(
    [TransientDeliveryError("450", ambiguous=True), PermanentDeliveryError("550")]
)
POLICY = ExponentialBackoff(max_retries=2, uniform=lambda low, _: low)


class TwoStores(RuleBasedStateMachine):
    """Does everything to both, and remembers every version that any caller ever held."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.now = NOON
        self.held: list[Notification] = []
        self.memory = MemoryRepository()
        self.runner = asyncio.Runner()
        self.opening = opened(path)
        self.sql = self.runner.run(self.opening.__aenter__())

    def teardown(self) -> None:
        self.runner.run(self.opening.__aexit__(None, None, None))
        self.runner.close()

    def outcome(self, call: Coroutine[Any, Any, object]) -> object:
        try:
            return self.runner.run(call)
        except PinguinError as error:
            return type(error), error.args

    def agree(self, *calls: Coroutine[Any, Any, object]) -> object:
        first, second = map(self.outcome, calls)
        assert first == second
        return first

    @rule(by=SECONDS)
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule(name=NAMES, channel=CHANNELS, after=SECONDS)
    def add(self, name: str, channel: Channel, after: timedelta) -> None:
        make = {Channel.EMAIL: email, Channel.SMS: sms}[channel]
        queued = make(name, self.now + after)
        if self.agree(self.memory.add(queued), self.sql.add(queued)) is None:
            self.held.append(queued)

    @rule(name=NAMES)
    def get(self, name: str) -> None:
        id = NotificationId(name)  # noqa: A001 (the domain's word)
        self.agree(self.memory.get(id), self.sql.get(id))

    @rule(channel=CHANNELS, limit=st.integers(0, 4))
    def claim(self, channel: Channel, limit: int) -> None:
        wanted = (channel, self.now, LEASE, limit)
        claimed = self.agree(self.memory.claim_due(*wanted), self.sql.claim_due(*wanted))
        assert isinstance(claimed, list)
        self.held += claimed

    @rule(channel=CHANNELS)
    def next_wake(self, channel: Channel) -> None:
        self.agree(self.memory.next_wake(channel), self.sql.next_wake(channel))

    @rule(data=st.data(), error=st.none() | ERRORS)
    def save(self, data: st.DataObject, error: DeliveryError | None) -> None:
        """Save the next step of any version that was ever held: most are stale by now."""
        held = data.draw(st.sampled_from(self.held)) if self.held else email("notif-none")
        match held.state:
            case Sending() if error:
                after = held.fail(error, self.now, POLICY)
            case Sending():
                after = held.succeed(Receipt("r"), self.now)
            case Queued():
                after = held.cancel(self.now)
            case _:
                after = replace(held, version=held.version + 1)
        self.agree(self.memory.save(after), self.sql.save(after))
        self.held.append(after)


def test_both_stores_always_agree(tmp_path: Path) -> None:
    numbers = count()

    class Machine(TwoStores):
        def __init__(self) -> None:
            super().__init__(tmp_path / f"store-{next(numbers)}.db")

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
