"""The programs that embed Pinguin do what their pages say, as they are printed."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from support.documented import EXAMPLES, Program, printed, program, run_program
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp
from support.sqlmodel_stores import opened

from pinguin_core import NotificationId

SCRIPT = str(EXAMPLES / "asyncio_script.py")
SERVE = f"""
import runpy, socket
from aiohttp import web
app = runpy.run_path({str(EXAMPLES / "aiohttp_app.py")!r})["make_app"]()
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
web.run_app(app, sock=listening, print=None)
"""


def test_the_page_prints_the_example() -> None:
    (program,) = printed("embedding.md")
    assert Path(SCRIPT).read_text().partition('"""\n\n')[2] == program


@patient
async def test_the_printed_program_sends_an_e_mail(tmp_path: Path) -> None:
    (text,) = printed("embedding.md")
    (tmp_path / "program.py").write_text(text)
    async with ScriptedSmtp() as smtp:
        ended = await run_program(tmp_path, smtp, "program.py", "ada@example.com")
    assert (ended.code, ended.err) == (0, "")
    stored, outcome = ended.out
    assert stored.startswith("notif-")
    assert outcome == "sent"
    (message,) = smtp.messages
    assert (message.sender, message.recipient) == ("hello@example.com", "ada@example.com")
    assert b"\r\nHello\r\n" in message.content


@patient
async def test_the_printed_program_says_why_it_failed(tmp_path: Path) -> None:
    async with ScriptedSmtp(script={"RCPT": ["550 5.1.1 no such user"]}) as smtp:
        ended = await run_program(tmp_path, smtp, SCRIPT, "ada@example.com")
    assert (ended.code, ended.err) == (0, "")
    assert "550" in ended.out[-1]


async def signed_up(port: str, address: str) -> tuple[int, str]:
    """The answer to somebody who signs up."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://127.0.0.1:{port}/members", data={"address": address}) as answer,
    ):
        return answer.status, (await answer.text()).strip()


async def asked(port: str, name: str) -> tuple[int, str]:
    """The answer to a question about a welcome."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/welcomes/{name}") as answer,
    ):
        return answer.status, (await answer.text()).strip()


async def stopped(application: Program) -> None:
    """Stop it, cleanly."""
    ended = await application.stops()
    assert (ended.code, ended.err) == (0, "")


@patient
async def test_the_web_application_welcomes_who_signs_up(tmp_path: Path) -> None:
    async with ScriptedSmtp() as smtp, program(tmp_path, smtp, "-c", SERVE) as application:
        port = await application.says()
        status, name = await signed_up(port, "ada@example.com")
        await smtp.reached("END")
        known, state = await asked(port, name)
        await stopped(application)
    assert (status, known) == (202, 200)
    assert state in {"Sending", "Sent"}
    assert [message.recipient for message in smtp.messages] == ["ada@example.com"]
    async with opened(tmp_path / "notifications.db") as store:
        assert type((await store.get(NotificationId(name))).state).__name__ == "Sent"


@patient
async def test_the_web_application_says_what_is_wrong(tmp_path: Path) -> None:
    async with ScriptedSmtp() as smtp, program(tmp_path, smtp, "-c", SERVE) as application:
        port = await application.says()
        bad_address = await signed_up(port, "nobody")
        unknown = await asked(port, "notif-0")
        no_name = await asked(port, "%20")
        await stopped(application)
    assert bad_address[0] == 400
    assert bad_address[1].startswith("Your address must be one e-mail address")
    assert (unknown[0], no_name[0]) == (404, 404)
    assert smtp.messages == []


@patient
async def test_who_signs_up_just_before_the_stop_is_welcomed_once(tmp_path: Path) -> None:
    async with ScriptedSmtp() as smtp:
        for address in ("ada@example.com", "grace@example.com"):
            async with program(tmp_path, smtp, "-c", SERVE) as application:
                await signed_up(await application.says(), address)
                if address.startswith("grace"):
                    await smtp.reached("END")
                    await smtp.reached("END")
                await stopped(application)
    recipients = sorted(message.recipient for message in smtp.messages)
    assert recipients == ["ada@example.com", "grace@example.com"]
