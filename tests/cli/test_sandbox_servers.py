"""The sandbox servers speak real SMTP and Twilio's HTTP, and keep what they are sent."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiohttp import ClientSession

from pinguin_cli.sandbox.smtp import SandboxSmtp
from pinguin_cli.sandbox.twilio import SandboxTwilio

SID = "AC0123"
MAIL = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: Hi\r\n\r\n.dot\r\nbye\r\n"
FORM = {"To": "+15550100123", "From": "+15005550006", "Body": "Grüße & mehr"}


def within_ten_seconds(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await work()

    asyncio.run(bounded())


def test_an_email_is_kept_as_it_arrived(tmp_path: Path) -> None:
    async def work() -> None:
        async with SandboxSmtp(tmp_path / "mail") as server:
            async with aiosmtplib.SMTP(
                hostname=server.address.host, port=server.address.port
            ) as client:
                await client.sendmail("a@example.com", ["b@example.com"], MAIL)
                await client.sendmail("a@example.com", ["b@example.com"], MAIL + b"2\r\n")
            assert [file.read_bytes() for file in server.kept.files()] == [MAIL, MAIL + b"2\r\n"]

    within_ten_seconds(work)


def test_it_ends_while_a_client_is_connected(tmp_path: Path) -> None:
    async def work() -> None:
        async with SandboxSmtp(tmp_path) as server:
            reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
            await reader.readline()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    within_ten_seconds(work)


def test_a_second_run_keeps_what_the_first_has_kept(tmp_path: Path) -> None:
    async def work() -> None:
        for _ in range(2):
            async with (
                SandboxSmtp(tmp_path) as server,
                aiosmtplib.SMTP(hostname=server.address.host, port=server.address.port) as client,
            ):
                await client.sendmail("a@example.com", ["b@example.com"], MAIL)

    within_ten_seconds(work)
    assert len(list(tmp_path.iterdir())) == 2


def authorization(token: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{SID}:{token}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def post(
    folder: Path, form: dict[str, str], *, token: str = "right", sid: str = SID
) -> tuple[int, Any, list[Path]]:
    answers: list[tuple[int, Any, list[Path]]] = []

    async def work() -> None:
        async with (
            SandboxTwilio(folder, account_sid=SID, auth_token="right") as server,
            ClientSession(headers=authorization(token)) as client,
        ):
            url = f"http://{server.address}/2010-04-01/Accounts/{sid}/Messages.json"
            async with client.post(url, data=form) as answer:
                answers.append((answer.status, await answer.json(), server.kept.files()))

    within_ten_seconds(work)
    return answers[0]


def test_a_text_message_is_kept_and_answered_as_twilio_does(tmp_path: Path) -> None:
    status, answer, files = post(tmp_path / "sms", FORM)
    assert status == 201
    assert answer["sid"].startswith("SM")
    assert len(answer["sid"]) == 34
    assert (answer["to"], answer["from"], answer["body"]) == tuple(FORM.values())
    assert answer["status"] == "queued"
    (file,) = files
    assert json.loads(file.read_bytes()) == answer


@pytest.mark.parametrize(("to", "found"), [(FORM["To"], 1), ("+15550100999", 0)])
def test_what_was_kept_is_listed_as_twilio_does(tmp_path: Path, to: str, found: int) -> None:
    _, kept, _ = post(tmp_path, FORM)

    async def work() -> None:
        async with (
            SandboxTwilio(tmp_path, account_sid=SID, auth_token="right") as server,
            ClientSession(headers=authorization("right")) as client,
        ):
            url = f"http://{server.address}/2010-04-01/Accounts/{SID}/Messages.json"
            async with client.get(url, params={"To": to, "From": FORM["From"]}) as answer:
                assert await answer.json() == {"messages": [kept] * found}
            async with client.get(url, headers=authorization("wrong")) as answer:
                assert answer.status == 401

    within_ten_seconds(work)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("To", "", 21604), ("From", "", 21603), ("Body", "", 21602), ("To", "0150", 21211)],
)
def test_what_twilio_refuses_is_refused(tmp_path: Path, field: str, value: str, code: int) -> None:
    status, answer, files = post(tmp_path, {**FORM, field: value})
    assert (status, answer["status"], answer["code"]) == (400, 400, code)
    assert answer["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert files == []


@pytest.mark.parametrize("wrong", [{"token": "wrong"}, {"sid": "AC9"}])
def test_only_its_account_may_send(tmp_path: Path, wrong: dict[str, str]) -> None:
    status, answer, files = post(tmp_path, FORM, **wrong)
    assert (status, answer["code"]) == (401, 20003)
    assert files == []


def test_only_the_owner_may_look_into_the_folder(tmp_path: Path) -> None:
    post(tmp_path / "sms", FORM)
    assert (tmp_path / "sms").stat().st_mode & 0o777 == 0o700
