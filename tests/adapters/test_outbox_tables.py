"""Pinguin's tables in an application's database, made by the application's own migrations."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from support.databases import KINDS, directly, fresh
from support.outbox_application import WELCOME, deliveries, engine_of, make_tables
from support.sqlmodel_stores import email, opened, raw, run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, enqueue, metadata
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core import StoreUnavailable

ENVIRONMENT = """
from alembic import context
from support.outbox_application import Base, engine_of

from pinguin_adapters.sqlmodel_store import metadata

with engine_of(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=[Base.metadata, metadata])
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "application.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def alembic(tmp_path: Path, url: str) -> Config:
    return application_with_alembic(tmp_path, url)


def application_with_alembic(folder: Path, url: str) -> Config:
    """An application's Alembic, as `alembic init` sets it up."""
    config = Config(folder / "alembic.ini", stdout=io.StringIO())
    command.init(config, str(folder / "migrations"))
    (folder / "migrations" / "env.py").write_text(ENVIRONMENT)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def schema_of(path: Path) -> set[str]:
    """The statements that would make what is in the file, white space and versions aside."""
    with raw(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'notification%'")
        return {"".join(sql.split()) for (sql,) in rows}


async def opened_and_used(url: str, *, migrate: bool) -> None:
    async with SqlModelNotificationRepository.open(url, migrate=migrate) as store:
        await store.add(email())
        assert await store.get(email().id) == email()


@pytest.mark.parametrize("kind", KINDS)
def test_autogenerate_makes_the_table_and_then_finds_no_difference(
    tmp_path: Path, kind: str
) -> None:
    with fresh(kind) as url:
        alembic = application_with_alembic(tmp_path, url)
        command.revision(alembic, "Make the tables", autogenerate=True)
        command.upgrade(alembic, "head")
        command.check(alembic)
        with Session(engine_of(url)) as session, session.begin():
            queued = enqueue(session, WELCOME)
        (delivery,) = run(deliveries(url))
        assert delivery.id == queued.id


def test_it_is_the_table_that_the_store_makes(alembic: Config, path: Path, tmp_path: Path) -> None:
    command.revision(alembic, "Make the tables", autogenerate=True)
    command.upgrade(alembic, "head")

    async def make_another() -> None:
        async with opened(tmp_path / "pinguin.db"):
            pass

    run(make_another())
    assert schema_of(path) == schema_of(tmp_path / "pinguin.db")


def test_a_migration_imports_nothing_of_ours(alembic: Config, tmp_path: Path) -> None:
    """Ours may move; an application's old migrations must run all the same."""
    command.revision(alembic, "Make the tables", autogenerate=True)
    (migration,) = (tmp_path / "migrations" / "versions").glob("*.py")
    text = migration.read_text()
    assert "create_table('pinguin_notification'" in text
    assert "pinguin" not in text.replace("pinguin_notification", "")


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_each_database_gets_the_types_that_the_store_speaks(database: str) -> None:
    dialect = sa.make_url(f"{database}://").get_dialect()()
    declared = CreateTable(metadata.tables[TABLE.name]).compile(dialect=dialect)
    assert str(declared) == str(CreateTable(TABLE).compile(dialect=dialect))


@pytest.mark.parametrize("migrate", [True, False])
def test_tables_that_the_application_made_are_used_as_they_are(
    path: Path, url: str, *, migrate: bool
) -> None:
    make_tables(url)
    before = schema_of(path)
    run(opened_and_used(url, migrate=migrate))
    assert schema_of(path) == before
    with engine_of(url).connect() as connection:
        names = sa.inspect(connection).get_table_names()
    assert sorted(names) == ["customer_order", "pinguin_notification"]


def test_a_database_without_the_tables_is_left_without_them(path: Path, url: str) -> None:
    with pytest.raises(
        StoreUnavailable,
        match=r"has no table pinguin_notification: let the application's migrations",
    ):
        run(opened_and_used(url, migrate=False))
    assert schema_of(path) == set()


@pytest.mark.parametrize("migrate", [True, False])
def test_a_table_with_other_columns_is_refused(url: str, *, migrate: bool) -> None:
    make_tables(url)
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE pinguin_notification RENAME COLUMN subject TO title"
        )
    with pytest.raises(
        StoreUnavailable, match=r"does not match this .* \(they differ in subject, title\)"
    ):
        run(opened_and_used(url, migrate=migrate))


def test_a_table_whose_idempotency_keys_may_repeat_is_refused(application_url: str) -> None:
    with directly(application_url) as connection:
        indexes = metadata.tables[TABLE.name].indexes
        (unique,) = [index for index in indexes if index.unique]
        unique.drop(connection)
    with pytest.raises(StoreUnavailable, match=r"no unique index of idempotency_key, .*: let"):
        run(opened_and_used(application_url, migrate=False))


def test_a_constraint_keeps_idempotency_keys_from_repeating_too(application_url: str) -> None:
    with directly(application_url) as connection:
        connection.execute(sa.schema.DropTable(TABLE))
        with_constraint = metadata.tables[TABLE.name].to_metadata(sa.MetaData())
        with_constraint.indexes.clear()
        with_constraint.append_constraint(sa.UniqueConstraint("idempotency_key"))
        with_constraint.create(connection)
    run(opened_and_used(application_url, migrate=False))


@pytest.fixture(params=KINDS)
def application_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of each kind in turn, in which the application has made the tables."""
    with fresh(request.param) as url:
        make_tables(url)
        yield url


def test_the_store_may_keep_its_own_history_beside_the_applications(path: Path, url: str) -> None:
    """Then the application's Alembic must be told to leave these tables alone."""
    with raw(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('53e46f7f8ccf')")
    run(opened_and_used(url, migrate=True))
    with raw(path) as connection:
        history = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert history == [("53e46f7f8ccf",)]


def test_the_dispatchers_store_can_be_opened_first(url: str) -> None:
    """An application without migrations of its own lets the store make the table."""

    async def open_and_close() -> None:
        async with SqlModelNotificationRepository.open(url):
            pass

    run(open_and_close())
    with engine_of(url).begin() as connection:
        enqueue(connection, WELCOME)
    assert len(run(deliveries(url))) == 1
