"""The programs that enqueue in their own transactions do what their pages say."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from support.commands import Service
from support.documented import EXAMPLES, printed, program, run_program
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp

from pinguin_adapters.sqlmodel_store.schema import VERSION_TABLE

SIGN_UP = str(EXAMPLES / "sync_enqueue.py")


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert isinstance(count, int)
        return count


def write_shop(folder: Path) -> None:
    for text in printed("outbox.md"):
        name = text.partition("\n")[0].removeprefix("# ")
        (folder / name).write_text(text)


@patient
async def test_the_shop_confirms_orders(tmp_path: Path) -> None:
    write_shop(tmp_path)
    async with ScriptedSmtp() as smtp:
        before = await run_program(tmp_path, smtp, "shop.py", "ada@example.com", "tea")
        async with program(tmp_path, smtp, "deliver.py") as dispatcher:
            await smtp.reached("END")
            after = await run_program(tmp_path, smtp, "shop.py", "grace@example.com", "milk")
            await smtp.reached("END")
            stopped = await dispatcher.stops()
    for ended in (before, after, stopped):
        assert (ended.code, ended.err) == (0, "")
    recipients = [message.recipient for message in smtp.messages]
    assert recipients == ["ada@example.com", "grace@example.com"]
    assert b"Your tea is on its way." in smtp.messages[0].content
    assert rows(tmp_path / "shop.db", '"order"') == 2


@patient
async def test_the_shops_dispatcher_may_be_the_first(tmp_path: Path) -> None:
    write_shop(tmp_path)
    async with ScriptedSmtp() as smtp, program(tmp_path, smtp, "deliver.py") as dispatcher:
        ordered = await run_program(tmp_path, smtp, "shop.py", "ada@example.com", "tea")
        await smtp.reached("END")
        stopped = await dispatcher.stops()
    assert (ordered.code, ordered.err) == (stopped.code, stopped.err) == (0, "")


@patient
async def test_a_newer_pinguin_may_change_the_shops_tables(tmp_path: Path) -> None:
    write_shop(tmp_path)
    async with ScriptedSmtp() as smtp:
        await run_program(tmp_path, smtp, "shop.py", "ada@example.com", "tea")
    assert rows(tmp_path / "shop.db", VERSION_TABLE) == 1


@patient
async def test_members_are_welcomed_by_a_service_on_the_same_database(tmp_path: Path) -> None:
    async with ScriptedSmtp() as smtp:
        ended = await run_program(
            tmp_path, smtp, SIGN_UP, "ada@example.com", "nobody", "grace@example.com"
        )
        again = await run_program(tmp_path, smtp, SIGN_UP, "ada@example.com")
        await asyncio.to_thread(serve_until_sent, tmp_path, smtp.port, 2)
    assert (ended.code, ended.err) == (again.code, again.err) == (0, "")
    ada, nobody, grace = ended.out
    assert ada.startswith("ada@example.com will be welcomed by notif-")
    assert nobody.startswith("nobody must be one e-mail address")
    assert grace.startswith("grace@example.com will be welcomed by notif-")
    assert again.out == ["ada@example.com is a member already"]
    recipients = sorted(message.recipient for message in smtp.messages)
    assert recipients == ["ada@example.com", "grace@example.com"]
    assert rows(tmp_path / "members.db", "pinguin_notification") == 2


def serve_until_sent(folder: Path, port: int, count: int) -> None:
    variables = {
        "NOTIFICATION_AUTH_TOKEN": "correct-token",
        "DATABASE_URL": "sqlite:///members.db",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(port),
        "FROM_EMAIL": "club@example.com",
    }
    with Service(folder, variables) as service:
        for _ in range(count):
            service.wait_for("notification.sent")
        assert service.stop().code == 0
