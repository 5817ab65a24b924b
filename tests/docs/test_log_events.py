"""The table of the log's events for operators names each event that is logged, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LEVELS: Final = {"DEBUG", "INFO", "WARNING", "ERROR"}
ROW: Final = re.compile(r"^\| `([a-z.]+)` \| ([A-Z, ]+) \|", re.MULTILINE)


def described() -> dict[str, set[str]]:
    """Each event of the table, and the levels that it says."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("<!-- events -->\n")[2].partition("\n\n")[0]
    return {event: set(levels.split(", ")) for event, levels in ROW.findall(table)}


def logged() -> Iterator[tuple[str, str | None]]:
    """Each event in the code, and its level where that is a constant too."""
    for file in (ROOT / "pinguin_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Tuple(elts=[ast.Constant(str(level)), ast.Constant(str(event))]):
                    if level in LEVELS:
                        yield event, level
                case ast.Call(
                    func=ast.Name("record") | ast.Attribute(attr="record" | "log"),
                    args=[level_of, ast.Constant(str(event))],
                ):
                    yield event, str(level_of.value) if isinstance(level_of, ast.Constant) else None


def test_every_event_stands_in_the_table_and_no_other() -> None:
    assert {event for event, _ in logged()} == set(described())


def test_the_table_says_at_which_level() -> None:
    table = described()
    assert [(event, level) for event, level in logged() if level and {level} != table[event]] == []
