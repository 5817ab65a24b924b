"""Providers that are down or busy, and rates: what a dispatcher does about them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from support.dispatching import Scene
from support.samples import BUSY, LOST, REFUSED, SMS, FixedDelay, queued
from support.settling import run, settled

from pinguin_core import (
    Channel,
    Dispatcher,
    Email,
    ExponentialBackoff,
    Failed,
    InvalidValue,
    NotificationId,
    Outcome,
    PermanentDeliveryError,
    ProviderMisconfigured,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON, MemoryRepository, RecordingSender

SECOND = timedelta(seconds=1)
PROBE = timedelta(seconds=30)
DOWN = TransientDeliveryError("SMTP connect: refused", of_provider=True)
BAD_LOGIN = ProviderMisconfigured("SMTP AUTH: 535 no such login", code="535")


class Provider:
    """Takes messages, or is down."""

    def __init__(self, scene: Scene, error: Exception | None = DOWN) -> None:
        self.error = error
        self.asked: list[datetime] = []
        self.took: list[NotificationId] = []
        self._clock = scene.clock

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        self.asked.append(self._clock.now())
        if self.error is not None:
            raise self.error
        self.took.append(id)
        return Receipt(str(id))


async def filled(scene: Scene, count: int) -> list[str]:
    names = [f"notif-{n:05}" for n in range(count)]
    for name in names:
        await scene.store.add(queued(name))
    return names


def test_the_first_failures_count_as_retries_and_those_of_the_outage_do_not() -> None:
    async def test() -> None:
        scene = Scene()
        provider = Provider(scene)
        names = await filled(scene, 20)
        async with scene.dispatcher(provider, concurrency=16, policy=FixedDelay(SECOND)):
            await settled()
        kept = [await scene.stored(name) for name in names]
        assert [each.retries for each in kept] == [1] * 4 + [0] * 16
        assert [each.attempts for each in kept] == [1] * 16 + [0] * 4
        held = kept[4:16]
        assert {each.wake_at for each in held} == {NOON + PROBE}
        assert {each.last_error for each in held} == {DOWN.reason}
        assert {attempt.outcome for each in held for attempt in each.history} == {Outcome.FAILED}

    run(test())


def test_a_wrong_login_fails_nothing_and_is_told_loudly_at_once() -> None:
    async def test() -> None:
        scene = Scene()
        provider = Provider(scene, BAD_LOGIN)
        await filled(scene, 3)
        async with scene.dispatcher(provider, concurrency=1, policy=FixedDelay(None)):
            await settled()
            assert scene.observer.providers == [(Channel.EMAIL, False, BAD_LOGIN.reason)]
            first = await scene.stored("notif-00000")
            assert (first.retries, first.wake_at) == (0, NOON + PROBE)
            assert len(provider.asked) == 1
            provider.error = None
            scene.clock.advance(PROBE)
            await settled()
            assert len(provider.took) == 3

    run(test())


def test_with_little_traffic_each_failed_attempt_counts() -> None:
    async def test() -> None:
        scene = Scene()
        provider = Provider(scene)
        await filled(scene, 2)
        policy = ExponentialBackoff(base=SECOND, max_retries=3, uniform=max)
        async with scene.dispatcher(provider, policy=policy):
            for _ in range(10):
                await settled()
                scene.clock.advance(SECOND)
        assert await scene.state_of("notif-00000") == "Failed"
        assert scene.observer.providers == []

    run(test())


def test_a_provider_that_takes_them_and_never_says_so_gets_few_copies() -> None:
    """Its breaker opens, but what may have been delivered is no reason to try without end."""

    async def test() -> None:
        scene = Scene()
        silent = TransientDeliveryError("timed out", ambiguous=True, of_provider=True)
        provider = Provider(scene, silent)
        names = await filled(scene, 5)
        policy = ExponentialBackoff(max_retries=3, uniform=max)
        async with scene.dispatcher(provider, policy=policy):
            for _ in range(100):
                await settled()
                scene.clock.advance(PROBE)
        assert scene.observer.providers == [(Channel.EMAIL, False, "timed out")]
        for name in names:
            stored = await scene.stored(name)
            assert (type(stored.state), stored.attempts) == (Failed, 4)
            assert stored.possible_duplicate

    run(test())


OURS = PermanentDeliveryError("the recipient's address cannot be written", asked=False)


@pytest.mark.parametrize("error", [OURS, ZeroDivisionError("a bug in the sender")])
def test_what_the_provider_was_not_asked_says_nothing_of_it(error: Exception) -> None:
    async def test() -> None:
        scene = Scene()
        sender = Provider(scene, BAD_LOGIN)
        await filled(scene, 3)
        async with scene.dispatcher(sender, concurrency=1):
            await settled()
            sender.error = error
            scene.clock.advance(PROBE)
            await settled()
        assert scene.observer.providers == [(Channel.EMAIL, False, BAD_LOGIN.reason)]

    run(test())


def test_a_probe_that_asked_nothing_leaves_its_turn_to_the_next() -> None:
    async def test() -> None:
        scene = Scene()
        sender = Provider(scene, BAD_LOGIN)
        await filled(scene, 3)
        async with scene.dispatcher(sender, concurrency=1):
            await settled()
            sender.error = OURS
            scene.clock.advance(PROBE)
            await settled()
        assert len(sender.asked) == 4

    run(test())


@pytest.mark.parametrize("error", [BUSY, REFUSED])
def test_what_is_about_the_message_keeps_the_provider_up(error: TransientDeliveryError) -> None:
    async def test() -> None:
        scene = Scene()
        provider = Provider(scene, error)
        await filled(scene, 50)
        async with scene.dispatcher(provider):
            await settled()
        assert len(provider.asked) == 50
        assert scene.observer.providers == []

    run(test())


def test_one_lane_that_is_down_leaves_the_other_alone() -> None:
    async def test() -> None:
        scene = Scene()
        provider, sms = Provider(scene), RecordingSender[Sms]()
        await filled(scene, 20)
        await scene.store.add(queued("notif-sms", SMS))
        async with scene.dispatcher(provider, sms=sms):
            await settled()
        assert len(sms.delivered) == 1

    run(test())


def test_what_may_have_been_delivered_is_not_tried_again_if_that_is_not_wanted() -> None:
    async def test() -> None:
        scene = Scene()
        scene.email.errors = [LOST]
        await scene.store.add(queued())
        async with scene.dispatcher(retry_ambiguous=False):
            await settled()
        stored = await scene.stored()
        assert await scene.state_of() == "Failed"
        assert stored.possible_duplicate
        assert [attempt.outcome for attempt in stored.history] == [Outcome.UNCLEAR]

    run(test())


def test_a_rate_is_kept() -> None:
    async def test() -> None:
        scene = Scene()
        provider = Provider(scene, None)
        await filled(scene, 100)
        async with scene.dispatcher(provider, email_rate=5):
            for _ in range(100):
                await settled()
                scene.clock.advance(timedelta(milliseconds=100))
        assert 48 <= len(provider.took) <= 52
        for first, sixth in zip(provider.asked, provider.asked[5:], strict=False):
            assert sixth - first >= SECOND * 0.8

    run(test())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probe_interval", timedelta(0)),
        ("email_rate", 0.0),
        ("sms_rate", -1.0),
        ("email_rate", float("nan")),
        ("email_rate", float("inf")),
    ],
)
def test_numbers_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidValue) as refused:
        Dispatcher(MemoryRepository(), **{field: value})  # type: ignore[arg-type]  # a table
    assert refused.value.field == field
