"""`pinguin serve` on a database server, which several services may share."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from support.commands import Service, Shell
from support.databases import SERVERS, fresh, server

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


@pytest.mark.parametrize("kind", SERVERS)
def test_a_login_that_is_refused_is_told_without_its_password(shell: Shell, kind: str) -> None:
    url = make_url(server(kind)).set(username="ada", password="lovel4ce")
    variables = {**RELAY, "DATABASE_URL": url.render_as_string(hide_password=False)}
    finished = shell("serve", variables=variables)
    assert finished.code == 1
    (line,) = finished.err.splitlines()
    assert line.startswith("Error: DATABASE_URL: the database ")
    assert line.endswith(" cannot be used: the server refuses the login")
