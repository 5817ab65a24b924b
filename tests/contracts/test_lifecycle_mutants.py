"""The life that the contract of a retry policy leads can fail: it catches each defect of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from support.mutants import caught_by

from pinguin_core import Cancelled, ExponentialBackoff, Notification, Queued, RetryPolicy, Sending
from pinguin_core.testing.contracts import RetryPolicyContract

Step = Callable[..., Notification]
Defect = Callable[[Notification, Notification, Any], Notification]
"""Of what a step was taken from, of what it gave, and of the moment that it was given first."""

LIFE: Final = ["any_life_under_it_is_a_sound_one"]


class Lived(RetryPolicyContract):
    def policy(self) -> RetryPolicy:
        return ExponentialBackoff()


def changed(**fields: Callable[[Notification, Notification], Any]) -> Defect:
    return lambda before, after, _: replace(
        after, **{name: give(before, after) for name, give in fields.items()}
    )


USES_UP_A_RETRY: Final = changed(retries=lambda _, after: after.retries + 1)
COUNTS_A_CRASH: Final = changed(crashes=lambda _, after: after.crashes + 1)
KEEPS_THE_CRASHES: Final = changed(crashes=lambda before, _: before.crashes)
KEEPS_THE_RETRIES: Final = changed(retries=lambda before, _: before.retries)
COUNTS_THE_ATTEMPT: Final = changed(attempts=lambda before, _: before.attempts)
FORGETS_THE_DOUBT: Final = changed(possible_duplicate=lambda before, _: before.possible_duplicate)
MAKES_A_DOUBT: Final = changed(possible_duplicate=lambda *_: True)
LOSES_THE_KEY: Final = changed(idempotency_key=lambda *_: None)
LOSES_THE_HISTORY: Final = changed(history=lambda before, _: before.history)
LOSES_ITS_TIME: Final = changed(scheduled_at=lambda *_: None)
BEFORE_ITS_TIME: Final = changed(state=lambda before, _: Queued(before.created_at))
ENDS_ITS_LEASE_AT_ONCE: Final = changed(state=lambda _, after: Sending(after.updated_at))
SKIPS_A_VERSION: Final = changed(version=lambda _, after: after.version + 1)
NOW: Final = changed(updated_at=lambda _, after: after.wake_at)

DEFECTS: Final[list[tuple[str, str, Defect]]] = [
    ("start", "ends its lease at once", ENDS_ITS_LEASE_AT_ONCE),
    ("start", "counts a crash", COUNTS_A_CRASH),
    ("expire", "forgets the doubt", FORGETS_THE_DOUBT),
    ("expire", "keeps the crashes", KEEPS_THE_CRASHES),
    ("expire", "uses up a retry", USES_UP_A_RETRY),
    ("expire", "loses the history", LOSES_THE_HISTORY),
    ("succeed", "loses the history", LOSES_THE_HISTORY),
    ("succeed", "makes a doubt", MAKES_A_DOUBT),
    ("fail", "forgets the doubt", FORGETS_THE_DOUBT),
    ("fail", "keeps the retries", KEEPS_THE_RETRIES),
    ("postpone", "uses up a retry", USES_UP_A_RETRY),
    ("postpone", "forgets the doubt", FORGETS_THE_DOUBT),
    ("hold", "counts the attempt", COUNTS_THE_ATTEMPT),
    ("hold", "makes a doubt", MAKES_A_DOUBT),
    ("give_back", "counts the attempt", COUNTS_THE_ATTEMPT),
    ("give_back", "counts a crash", COUNTS_A_CRASH),
    ("interrupt", "forgets the doubt", FORGETS_THE_DOUBT),
    ("interrupt", "counts a crash", COUNTS_A_CRASH),
    ("interrupt", "is due before its time", BEFORE_ITS_TIME),
    ("orphan", "counts a crash", COUNTS_A_CRASH),
    ("orphan", "forgets when it began", NOW),
    ("renew", "counts a crash", COUNTS_A_CRASH),
    ("renew", "skips a version", SKIPS_A_VERSION),
    ("cancel", "loses the key", LOSES_THE_KEY),
    ("reschedule", "is due before its time", BEFORE_ITS_TIME),
    ("reschedule", "loses its time", LOSES_ITS_TIME),
    ("requeue", "keeps the crashes", KEEPS_THE_CRASHES),
    ("requeue", "keeps the retries", KEEPS_THE_RETRIES),
    ("requeue", "forgets the key", LOSES_THE_KEY),
]


def test_what_has_no_defect_passes() -> None:
    assert caught_by(Lived(), LIFE) == []


@pytest.mark.parametrize(
    ("step", "defect"),
    [(step, defect) for step, _, defect in DEFECTS],
    ids=[f"{step} {what}" for step, what, _ in DEFECTS],
)
def test_a_defect_of_a_step_is_caught(
    step: str, defect: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound: Step = getattr(Notification, step)

    def broken(it: Notification, *args: Any) -> Notification:
        return defect(it, sound(it, *args), args[-1])

    monkeypatch.setattr(Notification, step, broken)
    assert caught_by(Lived(), LIFE) == LIFE


def test_a_step_that_any_state_allows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Notification, "cancel", lambda it, now: replace(it, state=Cancelled(now), updated_at=now)
    )
    assert caught_by(Lived(), LIFE) == LIFE
