"""The store of docs/writing-an-adapter.md."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.quick_folders import quick_folder

from pinguin_core.testing.contracts import Connect, NotificationRepositoryContract

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "sqlite3_store.py"
specification = importlib.util.spec_from_file_location("sqlite3_store", EXAMPLE)
assert specification is not None
assert specification.loader is not None
sqlite3_store = importlib.util.module_from_spec(specification)
specification.loader.exec_module(sqlite3_store)


class TestDocumentedStore(NotificationRepositoryContract):
    examples = 5

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        with quick_folder() as folder:
            yield lambda: sqlite3_store.Sqlite3Repository.open(Path(folder, "pinguin.db"))


def test_the_example_is_short() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 120
