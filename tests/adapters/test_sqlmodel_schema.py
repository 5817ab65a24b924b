"""The schema and its versions: every road leads to the same tables."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from support.databases import KINDS, directly, fresh
from support.sqlmodel_processes import open_with_others, prepared_processes
from support.sqlmodel_stores import email, on_every, opened, raw, run

from pinguin_adapters.sqlmodel_store import schema
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core import StoreUnavailable


async def open_and_add(place: Path | str) -> None:
    async with opened(place) as store:
        await store.add(email())


def tables(path: Path) -> list[str]:
    """The statements that would make what is in the file, Alembic's own table left out."""
    with raw(path) as connection:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master"
            " WHERE sql IS NOT NULL AND name <> 'pinguin_schema_version'"
        )
        return sorted(" ".join(sql.split()) for (sql,) in rows)


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    run(open_and_add(tmp_path / "store.db"))
    engine = sa.create_engine(f"sqlite:///{tmp_path}/store.db", poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE}
        )
        assert compare_metadata(context, TABLE.metadata) == []


def test_migrations_make_exactly_what_the_models_say(tmp_path: Path) -> None:
    run(open_and_add(tmp_path / "migrated.db"))
    engine = sa.create_engine(f"sqlite:///{tmp_path}/declared.db", poolclass=sa.NullPool)
    TABLE.metadata.create_all(engine)
    assert tables(tmp_path / "declared.db") == tables(tmp_path / "migrated.db")


def test_the_newest_migration_is_the_version_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    run(open_and_add(tmp_path / "store.db"))
    before = tables(tmp_path / "store.db")
    with pytest.raises(Exception, match="already stored"):
        run(open_and_add(tmp_path / "store.db"))
    assert tables(tmp_path / "store.db") == before


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    run(open_and_add(tmp_path / "store.db"))
    with raw(tmp_path / "store.db") as connection:
        connection.execute("UPDATE pinguin_schema_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match=r"newer version of Pinguin .* 9999"):
        run(open_and_add(tmp_path / "store.db"))
    with raw(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT * FROM pinguin_schema_version").fetchall() == [("9999",)]


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Here it fails because an application has a table of that name in the file."""
    with raw(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE pinguin_notification (anything)")
    with pytest.raises(StoreUnavailable):
        run(open_and_add(tmp_path / "store.db"))
    assert tables(tmp_path / "store.db") == ["CREATE TABLE pinguin_notification (anything)"]


class Killed(Exception):
    """This process ends here."""


async def open_until_step(url: str, step: int) -> bool:
    """Migrate up to a step, and tell whether there is such a one."""
    left = step

    def note(*execution: Any) -> None:
        nonlocal left
        left -= execution[2].lstrip().startswith(("CREATE", "ALTER", "DROP"))
        if not left:
            raise Killed

    try:
        with on_every("after_cursor_execute", note):
            async with opened(url):
                return False
    except Killed:
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_that_was_killed_at_any_step_is_ended_by_the_next_start(kind: str) -> None:
    """MariaDB and MySQL commit each step by itself."""
    for step in count(1):
        with fresh(kind) as url:
            was_killed = run(open_until_step(url, step))
            run(open_and_add(url))
            with directly(url) as connection:
                options = {"version_table": schema.VERSION_TABLE}
                context = MigrationContext.configure(connection, opts=options)
                assert compare_metadata(context, TABLE.metadata) == []
                assert context.get_current_heads() == (schema.HEAD,)
        if not was_killed:
            break
    assert step > 5


def test_other_tables_in_the_file_are_left_alone(tmp_path: Path) -> None:
    with raw(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE notifications (anything)")
    run(open_and_add(tmp_path / "store.db"))
    assert "CREATE TABLE notifications (anything)" in tables(tmp_path / "store.db")


def test_processes_may_open_a_new_file_at_the_same_time(tmp_path: Path) -> None:
    context = prepared_processes()
    for number in range(5):
        ready = context.Barrier(4)
        path = tmp_path / f"store-{number}.db"
        processes = [context.Process(target=open_with_others, args=(path, ready)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_a_process_may_make_several_files_at_the_same_time(tmp_path: Path) -> None:
    """Each in a thread of its own, while what Alembic works with is one for all threads."""
    paths = [tmp_path / f"store-{number}.db" for number in range(8)]

    async def make_all() -> None:
        await asyncio.gather(*map(open_and_add, paths))

    run(make_all())
    assert len({tuple(tables(path)) for path in paths}) == 1


def test_migrating_is_silent_and_alembic_is_imported_only_for_it(tmp_path: Path) -> None:
    program = f"""
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG)
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository

async def main():
    async with SqlModelNotificationRepository.open("sqlite:///{tmp_path}/store.db"):
        print("alembic" in sys.modules)

print("alembic" in sys.modules)
asyncio.run(main())
"""
    for needed in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.split() == ["False", str(needed)]
        assert "alembic" not in done.stderr
