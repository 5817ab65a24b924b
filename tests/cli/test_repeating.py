"""How a command asks again: what it repeats, for how long, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import cast

import pytest
from support.patience import jump, patient

from pinguin_cli import calls
from pinguin_cli.repeating import PATIENCE, until_answered
from pinguin_cli.settings import ClientSettings
from pinguin_core import Email, EmailAddress, IdempotencyKey
from pinguin_grpc.client import (
    CallRefused,
    NotificationStatus,
    PinguinClient,
    ServiceUnreachable,
)

GONE = ServiceUnreachable("nothing is listening on localhost:50051", may_pass=True)
STOPPING = CallRefused("UNAVAILABLE", "the service is stopping; try again")
LATE = CallRefused("DEADLINE_EXCEEDED", "the call took too long")
FINAL = [
    ServiceUnreachable("the certificate of localhost:50051 is not trusted; name its CA"),
    CallRefused("INVALID_ARGUMENT", "recipient: must not be empty"),
    CallRefused("UNAUTHENTICATED", "a valid token is required"),
    CallRefused("ALREADY_EXISTS", "idempotency_key: was used before"),
    CallRefused("RESOURCE_EXHAUSTED", "the store or its queue is full; try again later"),
    CallRefused("INTERNAL", "something went wrong in the service"),
]


class Script:
    """A service that answers as it is told, then always alike; its time passes in pauses only.

    Attributes:
        calls: how often it was called.
        pauses: how long was waited between the calls, in seconds.
        said: what whoever waits was told.
    """

    def __init__(self, *answers: Exception | str, takes: timedelta = timedelta(0)) -> None:
        self._answers = answers
        self._takes = takes
        self.calls = 0
        self.pauses: list[float] = []
        self.said: list[str] = []

    async def ask(self) -> str:
        answer = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        jump(self._takes)
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        jump(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    async def until_answered(self) -> str:
        return await until_answered(self.ask, self.said.append, sleep=self.sleep)


@patient
async def test_an_answer_is_taken_at_once_and_nothing_is_said() -> None:
    script = Script("accepted")
    assert await script.until_answered() == "accepted"
    assert (script.calls, script.pauses, script.said) == (1, [], [])


@patient
@pytest.mark.parametrize("error", [GONE, STOPPING, LATE], ids=lambda error: str(error)[:20])
async def test_what_may_pass_is_asked_again_and_said_once(error: Exception) -> None:
    script = Script(error, GONE, STOPPING, "accepted")
    assert await script.until_answered() == "accepted"
    assert script.calls == 4
    (line,) = script.said
    assert line.endswith("; trying again for up to 15 seconds")
    assert "\n" not in line


@patient
@pytest.mark.parametrize("error", FINAL, ids=lambda error: str(error)[:20])
async def test_what_stays_the_same_is_not_asked_again(error: Exception) -> None:
    """Neither at first, nor once something else was repeated."""
    for answers, number in (((error,), 1), ((GONE, error), 2)):
        script = Script(*answers)
        with pytest.raises(type(error)) as caught:
            await script.until_answered()
        assert caught.value is error
        assert script.calls == number


@patient
async def test_pauses_grow_from_a_fifth_of_a_second_to_two_and_end_within_the_patience() -> None:
    script = Script(STOPPING, GONE)
    with pytest.raises(ServiceUnreachable) as caught:
        await script.until_answered()
    assert caught.value is GONE, "the last error, not the first"
    assert 0.1 <= script.pauses[0] <= 0.2
    assert all(1 <= pause <= 2 for pause in script.pauses[4:])
    assert sum(script.pauses[:-1]) < PATIENCE.total_seconds() <= sum(script.pauses)
    assert len(script.said) == 1


@patient
async def test_calls_that_hang_use_up_the_patience_too() -> None:
    """The first takes the time that a call may take; the second is broken off."""
    script = Script(GONE, takes=timedelta(seconds=10))
    with pytest.raises(ServiceUnreachable):
        await script.until_answered()
    assert script.calls == 2


@patient
async def test_a_first_call_that_takes_longer_than_the_patience_is_the_only_one() -> None:
    script = Script(GONE, takes=timedelta(seconds=20))
    with pytest.raises(ServiceUnreachable):
        await script.until_answered()
    assert (script.calls, script.said) == (1, [])


@dataclass
class Answering:
    """A client to whom a service answers as it is told."""

    answers: list[Exception]

    async def send(self, *_: object, **__: object) -> NotificationStatus:
        raise self.answers.pop(0)


@patient
@pytest.mark.parametrize("lost", [[], [GONE], [STOPPING, GONE]], ids=len)
async def test_a_refusal_after_a_lost_answer_tells_the_key_by_which_to_go_on(
    lost: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What got no answer may have been accepted, before the disk was full."""
    full = CallRefused("RESOURCE_EXHAUSTED", "the store or its queue is full")
    script = Script("")
    quick = partial(until_answered, sleep=script.sleep)
    monkeypatch.setattr(calls, "until_answered", quick)
    with pytest.raises(calls.CallFailed if lost else CallRefused) as refused:
        await calls.send(
            cast(PinguinClient, Answering([*lost, full])),
            Email(EmailAddress("ada@example.com"), "", "Hello"),
            None,
            key=IdempotencyKey("a-key"),
            on_accepted=script.said.append,
            remark=script.said.append,
            wait=False,
        )
    assert "the store or its queue is full" in str(refused.value)
    assert str(refused.value).endswith(" --idempotency-key a-key") == bool(lost)


def test_an_interruption_waits_for_the_step_that_the_loop_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever presses Ctrl-C sees no traceback of a step that it came amid."""

    async def ask(_client: PinguinClient) -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()

        def answered() -> None:
            assert not answer.done()
            signal.raise_signal(signal.SIGINT)
            answer.set_result(None)

        loop.call_soon(answered)
        await answer
        await loop.create_future()

    settings = ClientSettings.model_validate({"NOTIFICATION_AUTH_TOKEN": "token"})
    with pytest.raises(KeyboardInterrupt):
        calls.call(settings, ask)
    assert caplog.messages == []
