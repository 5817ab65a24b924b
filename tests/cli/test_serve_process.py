"""`pinguin serve` as a process: how it starts, refuses to start, and stops."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.certificates import write_certificate
from support.commands import PATIENCE, Service, Shell, environment

TOKEN = {"NOTIFICATION_AUTH_TOKEN": "correct-token"}
RELAY = {**TOKEN, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "FROM_EMAIL": "a@example.com"}


def test_it_says_where_it_listens_and_what_it_sends(tmp_path: Path, shell: Shell) -> None:
    variables = {**RELAY, "DATABASE_PATH": "data/x.db", "TWILIO_ACCOUNT_SID": "AC1"}
    with Service(tmp_path, variables) as service:
        refused = shell(
            "send", "--to", "+15550100123", "--type", "sms", "--message", "Hello",
            variables={**TOKEN, "GRPC_SERVER_ADDR": service.address},
        )  # fmt: skip
        finished = service.stop()
    warning, ready = service.records
    assert (warning["event"], warning["level"]) == ("channel.disabled", "WARNING")
    assert warning["remedy"] in refused.err
    assert "TWILIO_AUTH_TOKEN, TWILIO_FROM_NUMBER" in refused.err
    assert (refused.code, ready["event"]) == (1, "service.ready")
    assert (ready["channels"], ready["tls"]) == ("email", False)
    assert ready["database"] == "sqlite:///data/x.db"
    assert (tmp_path / "data" / "x.db").exists()
    assert finished.code == 0
    assert '"service.stopped"' in finished.err.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the limits of others")
def test_it_may_have_as_many_connections_as_the_system_allows(tmp_path: Path) -> None:
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(few, most // 2), most))
    try:
        with Service(tmp_path, RELAY) as service:
            limits = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    assert limits == (most, most)


def test_what_was_accepted_outlives_the_process(tmp_path: Path, shell: Shell) -> None:
    with Service(tmp_path, RELAY) as service:
        sent = shell(
            "send", "--to", "ada@example.com", "--message", "Hi", "--at", "2100-01-01T00:00:00Z",
            variables={**TOKEN, "GRPC_SERVER_ADDR": service.address},
            )  # fmt: skip
        assert service.stop(signal.SIGINT).code == 0
    name = sent.out.split()[-1]
    with Service(tmp_path, RELAY) as service:
        shown = shell("status", name, variables={**TOKEN, "GRPC_SERVER_ADDR": service.address})
    assert "QUEUED" in shown.out


def test_a_second_signal_ends_it_at_once(tmp_path: Path, shell: Shell) -> None:
    """A delivery that hangs would otherwise hold the first one up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay = {**RELAY, "SMTP_PORT": str(silent.getsockname()[1])}
        with Service(tmp_path, {**relay, "LOG_LEVEL": "DEBUG"}) as service:
            shell(
                "send", "--to", "ada@example.com", "--message", "Hi",
                variables={**TOKEN, "GRPC_SERVER_ADDR": service.address},
                )  # fmt: skip
            service.wait_for("notification.sending")
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("service.stopping")
            finished = service.stop(signal.SIGTERM)
    assert finished.code == 128 + signal.SIGTERM


def refusal(shell: Shell, variables: Mapping[str, str], *arguments: str) -> str:
    """Start a service that cannot start, and return the one line in which it says why."""
    if_it_starts = threading.Timer(PATIENCE, os.kill, (os.getpid(), signal.SIGTERM))
    if_it_starts.start()
    finished = shell("serve", *arguments, variables={"LOG_LEVEL": "ERROR", **variables})
    if_it_starts.cancel()
    assert finished.code == 1
    assert finished.out == ""
    (line,) = finished.err.splitlines()
    return line


def test_a_taken_port_is_told(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refusal(shell, {**RELAY, "GRPC_LISTEN_ADDR": address})
    assert line.startswith(f"Error: GRPC_LISTEN_ADDR: cannot listen on {address}: ")


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_a_host_that_is_not_ours_is_told(shell: Shell, host: str) -> None:
    variables = {**RELAY, "GRPC_LISTEN_ADDR": f"{host}:0", "GRPC_ALLOW_PLAINTEXT": "1"}
    assert refusal(shell, variables).startswith("Error: GRPC_LISTEN_ADDR: cannot listen on")


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "file").touch()
    line = refusal(shell, {**RELAY, "DATABASE_PATH": "file/pinguin.db"})
    assert line.startswith("Error: ")
    assert "file/pinguin.db" in line


def test_a_file_that_is_no_database_is_told(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "notes.db").write_text("not a database at all, just some notes " * 100)
    assert "notes.db" in refusal(shell, {**RELAY, "DATABASE_PATH": "notes.db"})


def test_a_sender_whose_domain_is_none_is_told(shell: Shell) -> None:
    line = refusal(shell, {**RELAY, "FROM_EMAIL": f"pinguin@{'ü' * 63}.example"})
    assert line.startswith("Error: FROM_EMAIL: ")


def test_a_sandbox_folder_that_cannot_be_is_told(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "pinguin-sandbox").touch()
    line = refusal(shell, {}, "--sandbox")
    assert line.startswith("Error: --sandbox-folder pinguin-sandbox: cannot be used: ")


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_bad_certificate_is_told(tmp_path: Path, shell: Shell, content: str) -> None:
    settings = write_certificate(tmp_path)
    Path(settings["GRPC_TLS_CERT_FILE"]).write_text(content)
    line = refusal(shell, {**RELAY, **settings, "GRPC_LISTEN_ADDR": "127.0.0.1:0"})
    assert line.startswith("Error: GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: ")


def test_tls_on_both_sides(tmp_path: Path, shell: Shell) -> None:
    """The service shows a certificate of an authority that the client must know, and so does it."""
    settings = write_certificate(tmp_path)
    ca = settings["GRPC_SERVER_CA_FILE"]
    own = {
        "GRPC_CLIENT_CERT_FILE": settings["GRPC_TLS_CERT_FILE"],
        "GRPC_CLIENT_KEY_FILE": settings["GRPC_TLS_KEY_FILE"],
    }
    host = {"GRPC_LISTEN_ADDR": "localhost:0", "GRPC_TLS_CLIENT_CA_FILE": ca}
    with Service(tmp_path, {**RELAY, **settings, **host}) as service:
        client = {**TOKEN, "GRPC_SERVER_ADDR": service.address, "GRPC_SERVER_TLS": "1"}
        known = shell("status", "notif-1", variables={**client, **own, "GRPC_SERVER_CA_FILE": ca})
        nameless = shell("status", "notif-1", variables={**client, "GRPC_SERVER_CA_FILE": ca})
        distrustful = shell("status", "notif-1", variables={**client, **own})
    assert "no notification has the id notif-1" in known.err
    assert nameless.code == 1
    assert "no notification" not in nameless.err
    assert "is not trusted" in distrustful.err


def test_a_sandbox_makes_up_a_token_and_shows_how_to_send(tmp_path: Path) -> None:
    """Whoever pastes the line that it prints sends something, wherever the program is installed."""
    elsewhere = {"PATH": os.defpath}
    with Service(tmp_path, elsewhere, ("--sandbox",)) as service:
        finished = service.stop()
    (line,) = [line for line in finished.out.splitlines() if line.startswith("Try")]
    assert f"GRPC_SERVER_ADDR={service.address} " in line
    (token,) = [line.split()[1] for line in finished.out.splitlines() if line.startswith("Token")]
    assert f"NOTIFICATION_AUTH_TOKEN={token} " in line
    assert token not in finished.err
    assert (tmp_path / "pinguin-sandbox" / "pinguin.db").exists()
    pasted = subprocess.run(
        ["sh", "-c", line.removeprefix("Try")],
        cwd=tmp_path, env=environment(elsewhere), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert f"nothing listens on {service.address}" in pasted.stderr


def test_a_sandbox_never_reaches_a_real_provider(tmp_path: Path, shell: Shell) -> None:
    """Whatever is set: the relay that the settings name is not even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as real:
        real.settimeout(0)
        variables = {**RELAY, "SMTP_PORT": str(real.getsockname()[1]), "DATABASE_PATH": "own.db"}
        with Service(tmp_path, variables, ("--sandbox", "--sandbox-folder", "kept")) as service:
            sent = shell(
                "send", "--to", "ada@example.com", "--message", "Hi", "--wait",
                variables={**TOKEN, "GRPC_SERVER_ADDR": service.address},
            )  # fmt: skip
            finished = service.stop()
        with pytest.raises(BlockingIOError):
            real.accept()
    assert "SENT" in sent.out
    assert len(list((tmp_path / "kept" / "mail").iterdir())) == 1
    assert (tmp_path / "own.db").exists()
    assert TOKEN["NOTIFICATION_AUTH_TOKEN"] not in finished.out + finished.err
