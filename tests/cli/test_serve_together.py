"""`pinguin serve` on a database that several services share."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from support.commands import PATIENCE, Service, Shell
from support.databases import KINDS, SERVERS, directly, fresh, server

from pinguin_core import Email, EmailAddress
from pinguin_grpc.client import PinguinClient

TOKEN = {"NOTIFICATION_AUTH_TOKEN": "correct-token"}
AT = "2100-01-01T00:00:00Z"
RELAY = {**TOKEN, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "FROM_EMAIL": "a@example.com"}


@pytest.mark.parametrize("kind", SERVERS)
def test_services_share_a_database(tmp_path: Path, shell: Shell, kind: str) -> None:
    with fresh(kind) as url:
        variables = {**RELAY, "DATABASE_URL": url}
        with Service(tmp_path, variables) as one, Service(tmp_path, variables) as other:
            sent = shell(
                "send", "--to", "ada@example.com", "--message", "Hi", "--at", AT,
                variables={**TOKEN, "GRPC_SERVER_ADDR": one.address},
            )  # fmt: skip
            name = sent.out.split()[-1]
            shown = shell("status", name, variables={**TOKEN, "GRPC_SERVER_ADDR": other.address})
            assert other.stop().code == 0
    assert "QUEUED" in shown.out
    (ready,) = [record for record in other.records if record["event"] == "service.ready"]
    address = make_url(url)
    assert ready["database"] == f"{address.drivername}://{address.host}/{address.database}"


MAIL = Email(EmailAddress("ada@example.com"), "", "Hi")
ROUNDS = 10


async def ids_of_each_round(addresses: list[str], *, with_key: bool) -> list[set[str]]:
    """Ask all services at the same moment, round after round, with one key for each round."""
    at = datetime.fromisoformat(AT)
    timeout = timedelta(seconds=PATIENCE)

    def connect(address: str) -> PinguinClient:
        host, _, port = address.rpartition(":")
        token = TOKEN["NOTIFICATION_AUTH_TOKEN"]
        return PinguinClient(host, int(port), token=token, timeout=timeout)

    one, other = map(connect, addresses)
    async with one, other:
        rounds = []
        for number in range(ROUNDS):
            key = f"order-{number}" if with_key else None
            calls = [client.send(MAIL, scheduled_at=at, idempotency_key=key)
                     for client in (one, other) * 4]  # fmt: skip
            rounds.append({sent.id for sent in await asyncio.gather(*calls)})
        return rounds


@pytest.mark.parametrize("kind", KINDS)
def test_of_calls_with_one_key_to_several_services_one_is_accepted(
    tmp_path: Path, kind: str
) -> None:
    """Without a key each is: so that the test would see a second one."""
    with fresh(kind) as url:
        variables = {**RELAY, "DATABASE_URL": url}
        with Service(tmp_path, variables) as one, Service(tmp_path, variables) as other:
            addresses = [one.address, other.address]
            keyed = asyncio.run(ids_of_each_round(addresses, with_key=True))
            keyless = asyncio.run(ids_of_each_round(addresses, with_key=False))
        with directly(url) as connection:
            counted = connection.exec_driver_sql("SELECT count(*) FROM pinguin_notification")
            rows = counted.scalar_one()
    assert [len(ids) for ids in keyed] == [1] * ROUNDS
    assert [len(ids) for ids in keyless] == [8] * ROUNDS
    assert rows == 9 * ROUNDS


@pytest.mark.parametrize("kind", SERVERS)
def test_a_login_that_is_refused_is_told_without_its_password(shell: Shell, kind: str) -> None:
    url = make_url(server(kind)).set(username="ada", password="lovel4ce")
    variables = {**RELAY, "DATABASE_URL": url.render_as_string(hide_password=False)}
    finished = shell("serve", variables=variables)
    assert finished.code == 1
    (line,) = finished.err.splitlines()
    assert line.startswith("Error: DATABASE_URL: the database ")
    assert line.endswith(" cannot be used: the server refuses the login")
