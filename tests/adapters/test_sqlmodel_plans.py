"""What dispatchers ask for costs the same, however much is stored: the plans say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.sql import ClauseElement
from support.sqlmodel_stores import opened, raw, run

from pinguin_adapters.sqlmodel_store.sqlite import overwrite_text, writing_engine
from pinguin_adapters.sqlmodel_store.statements import (
    CLAIMANTS,
    CLAIMED_IDS,
    DUE,
    DUE_IDS,
    NEXT_WAKE,
    ONE,
    SENT_SMS_AS,
    SMS_UNDER_WAY,
    TAKEN_SMS,
    TO,
)
from pinguin_core.testing.fakes import NOON


async def make(path: Path) -> None:
    async with opened(path):
        pass


BY_ID = "SEARCH pinguin_notification USING INDEX sqlite_autoindex_pinguin_notification_1 (id=?)"
BY_TIME = "SEARCH pinguin_notification USING INDEX pinguin_notification_due"
BY_CLAIM = "SEARCH pinguin_notification USING INDEX pinguin_notification_claim"
BY_END = "SEARCH pinguin_notification USING INDEX pinguin_notification_sms"
COVERED = "SEARCH pinguin_notification USING COVERING INDEX pinguin_notification_due"


def plan(path: Path, sql: str) -> str:
    with raw(path) as connection:
        explained = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
        return "\n".join(step[-1] for step in explained)


def text(statement: ClauseElement, path: Path) -> str:
    dialect = writing_engine(path).dialect
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        (
            DUE,
            f"{BY_TIME} (channel=? AND wake_at<?)",
        ),
        (
            DUE_IDS,
            f"{COVERED} (channel=? AND wake_at<?)",
        ),
        (
            NEXT_WAKE,
            f"{COVERED} (channel=? AND wake_at>?)",
        ),
        (TAKEN_SMS, f"{BY_END} (channel=? AND ended_at>?)"),
        (SENT_SMS_AS, f"{BY_END} (channel=? AND ended_at>?)"),
        (TAKEN_SMS.where(TO), f"{BY_END} (channel=? AND ended_at>?)"),
        (SMS_UNDER_WAY, f"{BY_TIME} (channel=? AND wake_at>? AND wake_at<?)"),
        (SMS_UNDER_WAY.where(TO), f"{BY_TIME} (channel=? AND wake_at>? AND wake_at<?)"),
        (ONE, BY_ID),
        (CLAIMANTS, f"{BY_CLAIM} (claimed_by>?)"),
        (CLAIMED_IDS.params(names=["one", "other"], now=NOON), f"{BY_CLAIM} (claimed_by=?)"),
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
