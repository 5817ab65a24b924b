"""Connections that are lost, refused or silent: survived, bounded in time, and told of clearly."""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from support.databases import directly
from support.sqlmodel_stores import email, on_every, opened, run
from support.tcp_proxy import proxied

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, mysql, postgresql
from pinguin_adapters.sqlmodel_store.database import database
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core import (
    Channel,
    DuplicateNotification,
    InvalidValue,
    Notification,
    NotificationId,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import NOON

LEASE = timedelta(minutes=1)
SECRET = "lovel4ce"


async def open_and_close(url: str) -> None:
    async with opened(url):
        pass


def altered(url: str, **changes: object) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]  # by name


def test_nobody_notices_connections_that_were_cut_while_idle(server_url: str) -> None:
    async def scenario() -> None:
        async with proxied(server_url) as (proxy, url), opened(url) as store:
            await store.add(email("notif-1"))
            await store.get(NotificationId("notif-1"))
            await proxy.cut()
            await store.add(email("notif-2"))
            assert await store.get(NotificationId("notif-2")) == email("notif-2")
            assert len(await store.claim_due(Channel.EMAIL, NOON, LEASE, 5)) == 2

    run(scenario())


def test_a_server_that_goes_away_is_unavailable_until_it_is_back(server_url: str) -> None:
    async def scenario() -> None:
        async with proxied(server_url) as (proxy, url), opened(url) as store:
            await store.add(email("notif-1"))
            await proxy.close()
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.add(email("notif-2"))
                with pytest.raises(StoreUnavailable):
                    await store.get(NotificationId("notif-1"))
            await proxy.open()
            await store.add(email("notif-2"))
            assert await store.get(NotificationId("notif-1")) == email("notif-1")

    run(scenario())


def test_a_transaction_whose_connection_is_killed_is_done_again(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            await store.add(email("notif-1"))
            with directly(server_url) as other:
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"SELECT 1 FROM {TABLE.name} FOR UPDATE")
                save = asyncio.create_task(store.save(email("notif-1").cancel(NOON)))
                await asyncio.to_thread(kill_whoever_waits, server_url)
                other.exec_driver_sql("COMMIT")
            await save
            assert (await store.get(NotificationId("notif-1"))).is_final

    run(scenario())


def test_a_claim_whose_connection_is_killed_is_done_again_with_its_batch(server_url: str) -> None:
    """The batch is done apart, since one of it is refused, when the claim meets the dead line."""
    doomed = iter([True])

    async def scenario() -> list[object]:
        async with opened(server_url) as store:
            await store.add(email("notif-taken"))
            with directly(server_url) as killer:

                def kill(
                    victim: sa.Connection, _cursor: object, statement: str, *_: object
                ) -> None:
                    if "FOR UPDATE" in statement and next(doomed, False):
                        end_session_of(victim, killer)

                with on_every("before_cursor_execute", kill):
                    calls = (
                        store.add(email("notif-new")),
                        store.add(email("notif-taken")),
                        store.claim_due(Channel.EMAIL, NOON, LEASE, 5),
                    )
                    return [*await asyncio.gather(*calls, return_exceptions=True)]

    added, refused, claimed = run(scenario())
    assert added is None
    assert isinstance(refused, DuplicateNotification)
    assert isinstance(claimed, list)
    assert len(claimed) == 2


def test_a_claim_whose_answer_was_lost_is_no_crash(server_url: str) -> None:
    """The worker never learned of it, so nothing can have been sent."""
    doomed, batches = iter([True, True]), iter([True])
    later = NOON + 2 * LEASE

    def lose_answer(connection: sa.Connection) -> None:
        if next(doomed, False):
            driver: Any = connection.connection.driver_connection
            driver.commit()
            driver.cursor().execute("SELECT 1")  # or psycopg would find nothing to commit
            with directly(server_url) as killer:
                end_session_of(connection, killer)

    def kill(victim: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if "FOR UPDATE" in statement and next(batches, False):
            with directly(server_url) as killer:
                end_session_of(victim, killer)

    async def scenario() -> tuple[Notification, Notification]:
        async with opened(server_url) as store:
            await store.add(email("notif-1"))
            with on_every("commit", lose_answer):
                for now in (NOON, later):
                    with pytest.raises(StoreUnavailable, match="may have stored"):
                        await store.claim_due(Channel.EMAIL, now, LEASE, 5)
            with on_every("before_cursor_execute", kill):
                (ours,) = await store.claim_due(Channel.EMAIL, NOON + 4 * LEASE, LEASE, 5)
            async with opened(server_url) as other:
                (theirs,) = await other.claim_due(Channel.EMAIL, NOON + 6 * LEASE, LEASE, 5)
            return ours, theirs

    ours, theirs = run(scenario())
    assert (ours.attempts, ours.crashes, ours.history) == (1, 0, ())
    assert not ours.possible_duplicate
    assert (theirs.attempts, theirs.crashes) == (2, 1), "who began to send and died did crash"


def end_session_of(victim: sa.Connection, killer: sa.Connection) -> None:
    driver: Any = victim.connection.driver_connection
    if victim.dialect.name == "postgresql":
        ending = f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)"
        assert killer.exec_driver_sql(ending).scalar(), "the session ends within five seconds"
    else:
        killer.exec_driver_sql(f"KILL {driver.thread_id()}")


def kill_whoever_waits(url: str) -> None:
    """Wait until somebody waits for a row of another, and end the connection of that one."""
    if url.startswith("postgresql"):
        question = "SELECT pid FROM pg_locks WHERE NOT granted"
        killing = "SELECT pg_terminate_backend({})"
    else:
        question = (
            "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
            " WHERE trx_state = 'LOCK WAIT'"
        )
        killing = "KILL {}"
    with directly(url) as connection:
        while (number := connection.exec_driver_sql(question).scalar()) is None:
            continue
        connection.exec_driver_sql(killing.format(number))


def test_a_silent_server_is_given_up(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system still acknowledges every byte, so that only our own patience ends the wait."""
    monkeypatch.setattr(postgresql, "_PATIENCE", 0.3)
    monkeypatch.setitem(mysql._DEFAULTS, "read_timeout", "1")

    async def scenario() -> None:
        async with proxied(server_url) as (proxy, url), opened(url) as store:
            await store.add(email("notif-1"))
            proxy.silence()
            with pytest.raises(StoreUnavailable):
                await store.get(NotificationId("notif-1"))
            await proxy.close()

    run(scenario())


def test_a_migration_takes_as_long_as_it_takes(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of a large table is made in one statement, in silence."""
    hurried = postgresql._SETTINGS.replace("statement_timeout = '30s'", "statement_timeout = '99'")
    monkeypatch.setattr(postgresql, "_SETTINGS", hurried)
    monkeypatch.setattr(postgresql, "_PATIENCE", 0.1)
    monkeypatch.setitem(mysql._DEFAULTS, "read_timeout", "1")
    lasting = "SELECT pg_sleep(0.3)" if server_url.startswith("postgresql") else "SELECT SLEEP(1.1)"
    with database(server_url).migrating() as connection:
        connection.exec_driver_sql(lasting)


def test_a_migration_does_not_wait_for_ever_for_a_table(mysql_url: str) -> None:
    with database(mysql_url).migrating() as connection:
        assert connection.exec_driver_sql("SELECT @@SESSION.lock_wait_timeout").scalar() == 25


def test_a_refused_login_is_said_to_be_one(server_url: str) -> None:
    wrong = altered(server_url, username="ada", password=SECRET)
    with pytest.raises(
        StoreUnavailable, match="cannot be used: the server refuses the login"
    ) as it:
        run(open_and_close(wrong))
    assert SECRET not in "".join(traceback.format_exception(it.value))


def test_a_database_that_is_not_there_is_said_to_be_missing(server_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"nowhere on 127\.0\.0\.1 .*: the server has no"):
        run(open_and_close(altered(server_url, database="nowhere", query={})))


def test_an_address_where_nobody_listens_is_said_to_be_one(server_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StoreUnavailable, match=r"no server (is listening|answers) there"):
        run(open_and_close(altered(server_url, port=port, password=SECRET)))


def test_a_host_that_has_no_address_is_unavailable(server_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"on nowhere\.invalid cannot be used"):
        run(open_and_close(altered(server_url, host="nowhere.invalid")))


def test_an_option_that_the_driver_does_not_know_is_refused(server_url: str) -> None:
    url = make_url(server_url).update_query_dict({"colour": SECRET})
    with pytest.raises(InvalidValue, match="has an option that") as refusal:
        run(open_and_close(url.render_as_string(hide_password=False)))
    assert refusal.value.field == "database_url"
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("postgresql://db.example.com/x", "psycopg", "postgres"),
        ("mysql://db.example.com/x", "pymysql", "mysql"),
        ("mariadb://db.example.com/x", "pymysql", "mysql"),
    ],
)
def test_a_driver_that_is_missing_is_named_with_its_extra(
    url: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    monkeypatch.delitem(sys.modules, "pinguin_adapters.sqlmodel_store.postgresql", raising=False)
    with pytest.raises(StoreUnavailable, match=rf"clone .* pip install '\.\[{extra}\]'"):
        run(open_and_close(url))


def test_processes_that_open_a_new_database_at_once_all_succeed(server_url: str) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(open_and_close(server_url) for _ in range(6)))

    run(scenario())


def test_a_database_of_a_newer_version_is_refused_and_left_alone(server_url: str) -> None:
    run(open_and_close(server_url))
    with directly(server_url) as connection:
        connection.exec_driver_sql("UPDATE pinguin_schema_version SET version_num = '9999'")
        with pytest.raises(StoreUnavailable, match=r"newer version of Pinguin .* 9999"):
            run(open_and_close(server_url))
        assert (
            connection.scalar(sa.text("SELECT version_num FROM pinguin_schema_version")) == "9999"
        )


def test_durable_servers_have_no_weaknesses(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            assert isinstance(store, SqlModelNotificationRepository)
            assert store.warnings == ()

    run(scenario())


def test_a_database_that_forgets_is_made_to_remember(postgresql_url: str) -> None:
    """Where the server is set to answer before it has stored, our own connections are not."""
    options = make_url(postgresql_url).query["options"]
    url = make_url(postgresql_url).update_query_dict(
        {"options": f"{options} -c synchronous_commit=off"}
    )
    database = postgresql.PostgreSql(url)
    with database.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_database_that_cannot_be_made_to_remember_is_refused(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_SETTINGS", "SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match=r"does not guarantee .* \(synchronous_commit"):
        run(open_and_close(postgresql_url))
