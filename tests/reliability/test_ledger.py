"""The checker of the records: it believes a true story, and none that breaks a promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from reliability.ledger import Ledger, Moment, complaints
from support.recording_relay import Copy
from support.sqlmodel_stores import raw

from pinguin_core.history import Outcome

TO = "r1@example.com"
NAME = "<notif-1@example.com>"
KILL = Moment(10.0, 10.1)
COLUMNS = "recipient, id, state, possible_duplicate, provider_message_id, history"


def attempt(began: float, ended: float, outcome: Outcome) -> list[Any]:
    return [1, int(began * 1e6), int(ended * 1e6), outcome.value, "", ""]


@dataclass(frozen=True)
class Row:
    """A notification whose first worker was killed after it had delivered."""

    recipient: str = TO
    id: str = "notif-1"
    state: str = "sent"
    possible_duplicate: int = 1
    provider_message_id: str = NAME
    history: list[list[Any]] = field(
        default_factory=lambda: [
            attempt(9.0, 11.0, Outcome.CRASHED),
            attempt(11.0, 12.0, Outcome.SENT),
        ]
    )


@dataclass
class Story:
    """What happened: by itself it is true, and breaks no promise."""

    rows: list[Row] = field(default_factory=lambda: [Row()])
    ledger: Ledger = field(
        default_factory=lambda: Ledger(
            {TO}, {TO: {"notif-1"}}, [Copy(TO, NAME, 9.5), Copy(TO, NAME, 11.5)], [KILL]
        )
    )

    def change(self, **columns: Any) -> None:
        self.rows[0] = replace(self.rows[0], **columns)

    def complaints(self, folder: Path) -> list[str]:
        path = folder / "pinguin.db"
        with raw(path) as connection:
            connection.execute(f"CREATE TABLE pinguin_notification ({COLUMNS})")
            for row in self.rows:
                values = [*list(vars(row).values())[:-1], json.dumps(row.history)]
                connection.execute(
                    "INSERT INTO pinguin_notification VALUES (?, ?, ?, ?, ?, ?)", values
                )
        return complaints(self.ledger, path)


def test_a_copy_of_an_attempt_that_was_killed_is_explained(tmp_path: Path) -> None:
    assert Story().complaints(tmp_path) == []


def test_a_copy_whose_reply_was_lost_is_explained(tmp_path: Path) -> None:
    story = Story()
    story.change(history=[attempt(9.0, 11.0, Outcome.UNCLEAR), attempt(11.0, 12.0, Outcome.SENT)])
    story.ledger.lost_replies[TO].append(9.5)
    assert story.complaints(tmp_path) == []


def another_copy(story: Story) -> None:
    story.ledger.copies.append(Copy(TO, NAME, 12.0))


def another_name(story: Story) -> None:
    story.ledger.copies[1] = Copy(TO, "<notif-2@example.com>", 11.5)


def nobody_knows_why(story: Story) -> None:
    story.ledger.copies.append(Copy("r2@example.com", NAME, 9.5))


def another_row(story: Story) -> None:
    story.rows.append(replace(story.rows[0], id="notif-2"))


def another_loss(story: Story) -> None:
    story.change(history=[attempt(9.0, 11.0, Outcome.UNCLEAR)])
    story.ledger.lost_replies["r2@example.com"].append(9.5)
    story.ledger.lost_replies[TO].append(8.5)


def another_id(story: Story) -> None:
    """Answer a request with the id of another one, and store only that."""
    story.ledger.asked.add("r2@example.com")
    story.ledger.answers["r2@example.com"] = {"notif-1"}


def another_kill(story: Story) -> None:
    story.ledger.kills[:] = [Moment(11.5, 11.6)]


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        (lambda story: story.rows.clear(), "was answered and is lost"),
        (lambda story: story.ledger.copies.clear(), "was never delivered"),
        (lambda story: story.ledger.answers.clear(), "that was not answered"),
        (lambda story: story.ledger.answers[TO].add("notif-2"), "answered with several ids"),
        (lambda story: story.ledger.asked.clear(), "was asked for by nobody"),
        (lambda story: story.change(possible_duplicate=0), "is marked wrongly"),
        (lambda story: story.change(state="queued"), "is queued, not sent"),
        (lambda story: story.change(state="failed"), "is failed, not sent"),
        (another_copy, "has 3 copies, and 1 attempts that explain another"),
        (another_name, "has copies under another name"),
        (nobody_knows_why, "and is not stored"),
        (another_id, "r2@example.com was answered, and is not stored"),
        (another_row, "was asked for once, and there are 2"),
        (another_kill, "has doubtful attempts that nothing explains"),
        (another_loss, "has doubtful attempts that nothing explains"),
        (
            lambda story: story.change(history=[attempt(9.0, 11.0, Outcome.UNCLEAR)]),
            "has doubtful attempts that nothing explains",
        ),
    ],
)
def test_whatever_breaks_a_promise_is_found(
    tmp_path: Path, lie: Callable[[Story], None], complaint: str
) -> None:
    story = Story()
    lie(story)
    assert any(complaint in each for each in story.complaints(tmp_path))
