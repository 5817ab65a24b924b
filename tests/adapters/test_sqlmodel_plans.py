"""What dispatchers ask for costs the same, however much is stored: the plans say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.sql import ClauseElement
from support.sqlmodel_stores import opened, raw, run

from pinguin_adapters.sqlmodel_store.sqlite import overwrite_text, writing_engine
from pinguin_adapters.sqlmodel_store.statements import DUE, DUE_IDS, NEXT_WAKE, ONE


async def make(path: Path) -> None:
    async with opened(path):
        pass


BY_ID = "SEARCH pinguin_notification USING INDEX sqlite_autoindex_pinguin_notification_1 (id=?)"
BY_TIME = "SEARCH pinguin_notification USING INDEX pinguin_notification_wake"
COVERED = "SEARCH pinguin_notification USING COVERING INDEX pinguin_notification_wake"


def plan(path: Path, sql: str) -> str:
    with raw(path) as connection:
        explained = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
        return "\n".join(step[-1] for step in explained)


def text(statement: ClauseElement, path: Path) -> str:
    return str(statement.compile(dialect=writing_engine(path).dialect))


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        (
            DUE,
            f"{BY_TIME} (channel=? AND wake_at<?)",
        ),
        (
            DUE_IDS,
            f"{BY_TIME} (channel=? AND wake_at<?)",
        ),
        (
            NEXT_WAKE,
            f"{COVERED} (channel=? AND wake_at>?)",
        ),
        (ONE, BY_ID),
    ],
)
def test_a_question_is_one_search_of_an_index(
    tmp_path: Path, statement: ClauseElement, step: str
) -> None:
    run(make(tmp_path / "store.db"))
    assert plan(tmp_path / "store.db", text(statement, tmp_path / "store.db")) == step


@pytest.mark.parametrize("count", [1, 64])
def test_overwriting_searches_for_each_row_by_its_id(tmp_path: Path, count: int) -> None:
    path = tmp_path / "store.db"
    run(make(path))
    steps = plan(path, overwrite_text(count))
    assert BY_ID in steps
    assert "SCAN pinguin_notification" not in steps
    assert "TEMP B-TREE" not in steps
