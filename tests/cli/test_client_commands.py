"""`send` and `status` against a running service."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import COMMAND, PATIENCE, Finished, Service, Shell, environment

TOKEN = "correct-token"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with Service(folder, {"NOTIFICATION_AUTH_TOKEN": TOKEN}, ("--sandbox",)) as running:
        yield running


@dataclass(frozen=True)
class Client:
    """Runs commands as a client of the service."""

    shell: Shell
    variables: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Finished:
        return self.shell(*arguments, variables={**self.variables, **variables}, stdin=stdin)


@pytest.fixture
def client(service: Service, shell: Shell) -> Client:
    return Client(shell, {"NOTIFICATION_AUTH_TOKEN": TOKEN, "GRPC_SERVER_ADDR": service.address})


def id_in(finished: Finished) -> str:
    words = "Notification sent successfully. Notification ID: "
    assert (finished.code, finished.err) == (0, "")
    line = finished.out.splitlines()[0]
    assert line.startswith(words + "notif-")
    return line.removeprefix(words)


def rows_of(finished: Finished) -> dict[str, str]:
    assert (finished.code, finished.err) == (0, "")
    return {line[:14].strip(): line[14:] for line in finished.out.splitlines()}


def test_send_prints_the_id_and_nothing_else(client: Client) -> None:
    finished = client("send", "--to", "ada@example.com", "--subject", "Hi", "--message", "Hello")
    assert finished.out == f"Notification sent successfully. Notification ID: {id_in(finished)}\n"


def test_an_email_arrives(client: Client, service: Service) -> None:
    finished = client(
        "send", "--to", "ada@example.com", "--subject", "Grüße", "--message", "Hello-42", "--wait"
    )
    rows = rows_of(Finished(0, finished.out.partition("\n")[2], finished.err))
    assert rows["ID"] == id_in(finished)
    assert (rows["Status"], rows["Type"], rows["Subject"]) == ("SENT", "email", "Grüße")
    kept = (service.cwd / "pinguin-sandbox" / "mail").glob("*.eml")
    assert sum(b"Hello-42" in file.read_bytes() for file in kept) == 1


def test_a_text_message_arrives(client: Client, service: Service) -> None:
    sent = client("send", "--to", "+15550100123", "--type", "sms", "--message", "Code 42", "--wait")
    assert "Status        SENT\n" in sent.out
    kept = (service.cwd / "pinguin-sandbox" / "sms").glob("*.json")
    assert [json.loads(file.read_bytes())["body"] for file in kept] == ["Code 42"]


def test_a_scheduled_one_waits_for_its_time(client: Client) -> None:
    at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    sent = client("send", "--to", "ada@example.com", "--message", "Later", "--at", at.isoformat())
    rows = rows_of(client("status", id_in(sent)))
    assert rows["Status"] == "QUEUED"
    assert rows["Scheduled"] == rows["Next attempt"] == f"{at:%Y-%m-%d %H:%M:%S} UTC"


def test_a_text_can_come_from_standard_input(client: Client) -> None:
    sent = client("send", "--to", "ada@example.com", "--message", "-", stdin="one\ntwo\n")
    shown = client("status", id_in(sent)).out
    assert "Message       one\n              two\n" in shown


def test_a_wait_can_be_interrupted(service: Service) -> None:
    """What was accepted stays accepted; the command ends as an interrupted one does."""
    words = ["send", "--to", "ada@example.com", "--message", "x", "--at", "2100-01-01T00:00:00Z"]
    settings = {"NOTIFICATION_AUTH_TOKEN": TOKEN, "GRPC_SERVER_ADDR": service.address}
    with subprocess.Popen(
        [*COMMAND, *words, "--wait"],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        assert "notif-" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out, err) == (130, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_told(service: Service) -> None:
    settings = {"NOTIFICATION_AUTH_TOKEN": TOKEN, "GRPC_SERVER_ADDR": service.address}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "send", "--to", "ada@example.com", "--message", "x"],
            env=environment(settings),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot go on: No space left on device\n",
    )


def test_an_unknown_id_is_refused(client: Client) -> None:
    finished = client("status", "notif-unknown")
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith("Error: ")
    assert "notif-unknown" in finished.err
    assert finished.err.count("\n") == 1


def test_a_wrong_token_is_refused(client: Client) -> None:
    finished = client("status", "notif-unknown", NOTIFICATION_AUTH_TOKEN="wrong-token")
    assert (finished.code, finished.out) == (1, "")
    assert finished.err == (
        "Error: the service refused the token; set NOTIFICATION_AUTH_TOKEN to one that it knows\n"
    )


def test_nobody_listening_is_told_with_the_address(client: Client) -> None:
    with socket.socket() as unused:  # bound but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        words = ("send", "--to", "ada@example.com", "--message", "Hello")
        finished = client(*words, GRPC_SERVER_ADDR=address)
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith(f"Error: nothing listens on {address}; is `pinguin serve` run")
    assert finished.err.count("\n") == 1


def test_tls_towards_a_service_without_it_is_told(client: Client, service: Service) -> None:
    finished = client("status", "notif-unknown", GRPC_SERVER_TLS="1")
    assert finished.code == 1
    assert finished.err.startswith(f"Error: TLS with {service.address} failed")
    assert finished.err.count("\n") == 1


def test_files_that_are_no_certificate_with_its_key_are_told(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "any.pem").write_text("nothing of the kind")
    finished = client(
        "status",
        "notif-unknown",
        GRPC_CLIENT_CERT_FILE=str(tmp_path / "any.pem"),
        GRPC_CLIENT_KEY_FILE=str(tmp_path / "any.pem"),
    )
    assert finished.code == 1
    assert finished.err.startswith("Error: GRPC_CLIENT_CERT_FILE, GRPC_CLIENT_KEY_FILE: ")
    assert finished.err.count("\n") == 1
