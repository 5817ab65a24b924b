"""`pinguin serve` as a process: how it starts, refuses to start, and stops."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import pytest
from support.certificates import encrypt, write_certificate
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
    warning, ready = [each for each in service.records if each["event"] != "database.weak"]
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
    assert line.endswith(f"{tmp_path / 'file'} is not a directory")


def test_variables_that_look_like_settings_are_warned_of(tmp_path: Path) -> None:
    with Service(tmp_path, {**RELAY, "GRPC_TRACE": "all", "DATABASE_PORT": "5432"}) as service:
        service.stop()
    (warning,) = [each for each in service.records if each["event"] == "settings.unknown"]
    assert (warning["level"], warning["names"]) == ("WARNING", "DATABASE_PORT")


def test_a_database_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "pinguin.db").touch()
    (tmp_path / "pinguin.db").chmod(0o644)
    with Service(tmp_path, RELAY) as service:
        weak = [each for each in service.records if each["event"] == "database.weak"]
    assert {each["level"] for each in weak} == {"WARNING"}
    assert any(each["remedy"].endswith(f"chmod 600 {tmp_path / 'pinguin.db'}") for each in weak)


def test_a_file_that_is_no_database_is_told(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "notes.db").write_text("not a database at all, just some notes " * 100)
    assert "notes.db" in refusal(shell, {**RELAY, "DATABASE_PATH": "notes.db"})


def test_a_database_in_memory_is_refused_in_one_name(shell: Shell) -> None:
    line = refusal(shell, {**RELAY, "DATABASE_PATH": ":memory:"})
    assert line.startswith("Error: DATABASE_PATH (:memory:): ")
    assert "database_url" not in line


def test_a_sender_whose_domain_is_none_is_told(shell: Shell) -> None:
    line = refusal(shell, {**RELAY, "FROM_EMAIL": f"pinguin@{'ü' * 63}.example"})
    assert line.startswith("Error: FROM_EMAIL: ")


def test_a_sandbox_folder_that_cannot_be_is_told(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "pinguin-sandbox").touch()
    line = refusal(shell, {}, "--sandbox")
    assert line.startswith("Error: --sandbox-folder pinguin-sandbox: cannot be used: ")


def test_a_sandbox_whose_database_is_none_names_its_folder(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "pinguin.db").write_text("not a database at all, just some notes " * 100)
    line = refusal(shell, {}, "--sandbox", "--sandbox-folder", "kept")
    assert line.startswith("Error: --sandbox-folder kept: ")


@pytest.mark.parametrize("folder", ["what?", "100%41"])
def test_a_sandbox_folder_that_no_database_can_be_in_is_told(
    shell: Shell, tmp_path: Path, folder: str
) -> None:
    """Rather than to have the database elsewhere, under half of its name."""
    line = refusal(shell, {}, "--sandbox", "--sandbox-folder", folder)
    assert line.startswith(
        f"Error: --sandbox-folder {folder}: cannot be used: its database must be"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_bad_certificate_is_told(tmp_path: Path, shell: Shell, content: str) -> None:
    settings = write_certificate(tmp_path)
    Path(settings["GRPC_TLS_CERT_FILE"]).write_text(content)
    line = refusal(shell, {**RELAY, **settings, "GRPC_LISTEN_ADDR": "127.0.0.1:0"})
    assert line.startswith("Error: GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: ")


def test_a_key_with_a_passphrase_is_told_and_nobody_asked_for_it(
    tmp_path: Path, shell: Shell
) -> None:
    settings = write_certificate(tmp_path)
    encrypt(Path(settings["GRPC_TLS_KEY_FILE"]))
    line = refusal(shell, {**RELAY, **settings, "GRPC_LISTEN_ADDR": "127.0.0.1:0"})
    assert line == "Error: GRPC_TLS_KEY_FILE: is encrypted; use a key without a passphrase"


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
    assert "GRPC_CLIENT_CERT_FILE" in nameless.err
    assert "is not trusted" in distrustful.err


def test_a_sandbox_makes_up_a_token_and_shows_how_to_send(tmp_path: Path) -> None:
    """Whoever pastes the line that it prints sends something, wherever the program is installed."""
    elsewhere = {"PATH": os.defpath}
    with Service(tmp_path, elsewhere, ("--sandbox",)) as service:
        assert service.process.stdout is not None
        printed = list(takewhile(lambda line: "Ctrl-C" not in line, service.process.stdout))
        (line,) = [line.strip() for line in printed if line.startswith("Try")]
        pasted = subprocess.run(
            ["sh", "-c", line.removeprefix("Try")],
            cwd=tmp_path, env=environment(elsewhere), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        finished = service.stop()
    assert f"GRPC_SERVER_ADDR={service.address} " in line
    (token,) = [line.split()[1] for line in printed if line.startswith("Token")]
    assert f"NOTIFICATION_AUTH_TOKEN={token} " in line
    assert token not in finished.err
    assert (tmp_path / "pinguin-sandbox" / "pinguin.db").exists()
    assert pasted.stdout.startswith("Notification sent successfully. Notification ID: notif-")


def test_a_sandbox_never_reaches_a_real_provider(tmp_path: Path, shell: Shell) -> None:
    """Whatever is set: the relay that the settings name is not even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as real:
        real.settimeout(0)
        variables = {**RELAY, "SMTP_PORT": str(real.getsockname()[1])}
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
    assert TOKEN["NOTIFICATION_AUTH_TOKEN"] not in finished.out + finished.err


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"DATABASE_PATH": "real.db"}, "DATABASE_PATH"),
        (
            {"DATABASE_URL": "sqlite:///real.db", "DATABASE_PATH": "x.db"},
            "DATABASE_PATH, DATABASE_URL",
        ),
    ],
)
def test_a_sandbox_sends_nothing_that_waits_in_a_real_database(
    tmp_path: Path, shell: Shell, variables: Mapping[str, str], names: str
) -> None:
    """It would be marked as sent, and lie in a folder."""
    with Service(tmp_path, {**RELAY, "DATABASE_PATH": "real.db", "MAX_RETRIES": "9"}) as service:
        sent = shell(
            "send", "--to", "ada@example.com", "--message", "Hi",
            variables={**TOKEN, "GRPC_SERVER_ADDR": service.address},
        )  # fmt: skip
        service.stop()
    name = sent.out.split()[-1]
    with Service(tmp_path, {**TOKEN, **variables}, ("--sandbox",)) as service:
        here = {**TOKEN, "GRPC_SERVER_ADDR": service.address}
        unknown = shell("status", name, variables=here)
        service.stop()
    (warning,) = [each for each in service.records if each["event"] == "settings.ignored"]
    assert (warning["level"], warning["names"]) == ("WARNING", names)
    assert f"no notification has the id {name}" in unknown.err
    assert list((tmp_path / "pinguin-sandbox" / "mail").iterdir()) == []
    assert not (tmp_path / "x.db").exists()
