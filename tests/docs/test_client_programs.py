"""The programs that speak to a service do what their page says, as they are printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme
from support.commands import PATIENCE, Finished, Service, environment
from support.documented import printed

TOKEN = {"NOTIFICATION_AUTH_TOKEN": "correct-token"}


@pytest.fixture(autouse=True)
def _written(tmp_path: Path) -> None:
    for text in printed("python-client.md"):
        (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)


def run(folder: Path, variables: Mapping[str, str], *arguments: str) -> Finished:
    """Run Python, to which every warning is an error, to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def sandbox(folder: Path, variables: Mapping[str, str] = TOKEN) -> Service:
    return Service(folder, variables, ("--sandbox",))


def test_an_e_mail_is_followed_to_its_end(tmp_path: Path) -> None:
    with sandbox(tmp_path) as service:
        ended = run(
            tmp_path, {**TOKEN, "GRPC_SERVER_ADDR": service.address}, "welcome.py", "a@example.com"
        )
    assert (ended.code, ended.err) == (0, "")
    stored, outcome = ended.out.splitlines()
    assert stored.endswith(" is stored, and will be delivered")
    assert outcome == f"SENT <{stored.split()[0]}@sandbox.example>"


def test_the_same_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "own.pem"
    )
    files = {"GRPC_TLS_CERT_FILE": "own.pem", "GRPC_TLS_KEY_FILE": "own.pem"}
    settings = {**TOKEN, **files, "GRPC_LISTEN_ADDR": "localhost:0"}
    with sandbox(tmp_path, settings) as service:
        address = {**TOKEN, "GRPC_SERVER_ADDR": service.address}
        known = run(
            tmp_path, {**address, "GRPC_SERVER_CA_FILE": "ca.pem"}, "welcome.py", "a@example.com"
        )
    assert (known.code, known.err) == (0, "")


@pytest.mark.parametrize(
    ("variables", "recipient", "problem"),
    [
        ({}, "nobody", "email_address must be"),
        ({"NOTIFICATION_AUTH_TOKEN": "wrong"}, "a@example.com", "refused: "),
        (
            {"GRPC_SERVER_ADDR": "nowhere.invalid:1"},
            "a@example.com",
            "no answer: the host name of ",
        ),
    ],
)
def test_what_went_wrong_is_said(
    tmp_path: Path, variables: Mapping[str, str], recipient: str, problem: str
) -> None:
    with sandbox(tmp_path) as service:
        address = {**TOKEN, "GRPC_SERVER_ADDR": service.address}
        ended = run(tmp_path, {**address, **variables}, "welcome.py", recipient)
    assert ended.code == 1
    assert ended.err.startswith(problem)


def test_a_text_message_is_asked_for_once(tmp_path: Path) -> None:
    with sandbox(tmp_path) as service:
        address = {**TOKEN, "GRPC_SERVER_ADDR": service.address}
        first, again = (run(tmp_path, address, "booking.py", "+15550100123") for _ in range(2))
    assert (first.code, first.err) == (0, "")
    assert first.out.endswith(" QUEUED 1 segment\n")
    assert again == first
