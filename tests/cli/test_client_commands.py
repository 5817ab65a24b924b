"""`send` and `status` against a running service."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from support.certificates import encrypt, write_certificate
from support.commands import COMMAND, PATIENCE, Finished, Service, Shell, environment

from pinguin_cli import calls
from pinguin_cli.repeating import until_answered
from pinguin_core import Email, EmailAddress
from pinguin_grpc.client import PinguinClient, ServiceUnreachable

TOKEN = "correct-token"
HELLO = ("send", "--to", "ada@example.com", "--message", "Hello")
HEADERS = 1  # RFC 9113 6.2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with Service(folder, {"NOTIFICATION_AUTH_TOKEN": TOKEN}, ("--sandbox",)) as running:
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets commands repeat their calls without a pause."""

    async def no_time(_: float) -> None:
        await asyncio.sleep(0)

    quick = partial(until_answered, sleep=no_time)
    monkeypatch.setattr(calls, "until_answered", quick)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets commands make each call once."""
    monkeypatch.setattr(calls, "until_answered", partial(until_answered, patience=timedelta(0)))


@contextmanager
def answers_lost(address: str, number: int) -> Iterator[tuple[str, list[bool]]]:
    """Stand before a service: the first connections end when it answers the call, unheard.

    Yields the address, and a list to which each of those adds whether there was an answer.
    """
    host, _, port = address.rpartition(":")
    lost: list[bool] = []

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                with near, socket.create_connection((host, int(port))) as far:
                    onward = threading.Thread(target=pass_on, args=(near, far))
                    onward.start()
                    if len(lost) < number:
                        lost.append(answered(far))
                    else:
                        pass_on(far, near)
                    for end in (near, far):
                        with suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
                    onward.join(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", lost
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join(PATIENCE)


def answered(far: socket.socket) -> bool:
    """Read what a service says until it has answered a call, which it says in a HEADERS frame."""
    said = b""
    far.settimeout(PATIENCE)
    while data := far.recv(1 << 16):
        said += data
        while len(said) >= 9 and len(said) >= (end := 9 + int.from_bytes(said[:3], "big")):
            kind, said = said[3], said[end:]
            if kind == HEADERS:
                return True
    return False


@dataclass(frozen=True)
class Client:
    """Runs commands as a client of the service."""

    shell: Shell
    variables: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: bytes = b"", **variables: str) -> Finished:
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


def mails_with(text: bytes, service: Service) -> list[Path]:
    kept = (service.cwd / "pinguin-sandbox" / "mail").glob("*.eml")
    return [file for file in kept if text in file.read_bytes()]


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
    assert len(mails_with(b"Hello-42", service)) == 1


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
    sent = client("send", "--to", "ada@example.com", "--message", "-", stdin=b"one\ntwo\r\n")
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


@pytest.mark.parametrize("after", ["connecting", "a repetition"])
def test_an_interrupted_send_tells_the_key_by_which_to_go_on(after: str) -> None:
    """The answer may be lost, and the notification accepted."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        subprocess.Popen(
            [*COMMAND, *HELLO],
            env=environment(
                {
                    "NOTIFICATION_AUTH_TOKEN": TOKEN,
                    "GRPC_SERVER_ADDR": f"127.0.0.1:{silent.getsockname()[1]}",
                }
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as sending,
    ):
        assert sending.stderr is not None
        connection, _ = silent.accept()
        said = ""
        if after == "a repetition":
            connection.close()
            said = sending.stderr.readline()
            connection, _ = silent.accept()
        sending.send_signal(signal.SIGINT)
        out, err = sending.communicate(timeout=PATIENCE)
        connection.close()
    assert (sending.returncode, out) == (130, "")
    assert ("trying again" in said) == (after == "a repetition")
    start, _, key = err.strip().rpartition(" --idempotency-key ")
    assert start.startswith("interrupted before the service answered; to try again")
    assert "\n" not in start
    assert str(UUID(key)) == key


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
        "Error: the service refused the token; set NOTIFICATION_AUTH_TOKEN to one that it accepts\n"
    )


@pytest.mark.usefixtures("impatient")
def test_nobody_listening_is_told_with_the_address_and_the_key(client: Client) -> None:
    """The key is the one by which the user can go on trying."""
    with socket.socket() as unused:  # bound but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        finished = client(*HELLO, GRPC_SERVER_ADDR=address)
        other = client(*HELLO, GRPC_SERVER_ADDR=address)
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith(f"Error: nothing is listening on {address}; is `pinguin serve")
    assert finished.err.count("\n") == 1
    start, _, key = finished.err.strip().rpartition(" --idempotency-key ")
    assert start.endswith("; to try again without sending it twice, add")
    assert str(UUID(key)) == key
    assert key not in other.err, "each time another"


@pytest.mark.usefixtures("impatient")
def test_a_key_that_was_given_is_the_one_that_is_told(client: Client) -> None:
    finished = client(*HELLO, "--idempotency-key", "order-42", GRPC_SERVER_ADDR="127.0.0.1:1")
    assert finished.err.endswith(" add --idempotency-key order-42\n")


def test_the_same_key_sends_once(client: Client) -> None:
    key = ("--idempotency-key", "order-43")
    first, again = client(*HELLO, *key), client(*HELLO, *key)
    other = client(*HELLO[:-1], "Other", *key)
    assert id_in(first) == id_in(again)
    assert (other.code, other.out) == (1, "")
    assert other.err.startswith("Error: idempotency_key: was already used for " + id_in(first))
    assert other.err.count("\n") == 1


def test_without_a_key_each_command_sends(client: Client) -> None:
    assert id_in(client(*HELLO)) != id_in(client(*HELLO))


@pytest.mark.usefixtures("hurried")
def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_sent_twice(
    client: Client, service: Service
) -> None:
    with answers_lost(service.address, 3) as (address, lost):
        finished = client(*HELLO[:-1], "Hello-lost", "--wait", GRPC_SERVER_ADDR=address)
    assert finished.code == 0
    assert finished.err == (
        f"the connection to {address} was lost before the answer; "
        "trying again for up to 15 seconds\n"
    )
    assert lost == [True] * 3, "the service did answer"
    assert len(mails_with(b"Hello-lost", service)) == 1


def test_without_a_key_the_same_would_send_twice(service: Service) -> None:
    """Or the test above proved nothing."""
    mail = Email(EmailAddress("ada@example.com"), "", "Hello-twice")

    async def send(address: str) -> None:
        host, _, port = address.rpartition(":")
        async with PinguinClient(host, int(port), token=TOKEN) as client:
            with pytest.raises(ServiceUnreachable):
                await client.send(mail)
            second = await client.send(mail)
            await calls.follow(partial(client.status, second.id), second)

    with answers_lost(service.address, 1) as (address, _):
        asyncio.run(send(address))
    assert len(mails_with(b"Hello-twice", service)) == 2


@pytest.mark.usefixtures("hurried")
def test_what_is_refused_is_not_asked_again(client: Client) -> None:
    finished = client(*HELLO, NOTIFICATION_AUTH_TOKEN="wrong-token")
    assert finished.code == 1
    assert finished.err.startswith("Error: the service refused the token")
    assert finished.err.count("\n") == 1


def test_a_status_shows_the_attempts(client: Client) -> None:
    sent = client(*HELLO, "--wait")
    shown = client("status", id_in(sent)).out.splitlines()
    first = shown[shown.index("Attempts") + 1 :]
    assert len(first) == 1
    assert re.fullmatch(r"  1  [0-9 :-]{19} UTC +[0-9.]+ m?s  sent  250 .*", first[0])
    assert sent.out.splitlines()[1:] == shown


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


def test_a_key_with_a_passphrase_is_told(client: Client, tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    encrypt(Path(files["GRPC_TLS_KEY_FILE"]))
    finished = client(
        "status",
        "notif-unknown",
        GRPC_CLIENT_CERT_FILE=files["GRPC_TLS_CERT_FILE"],
        GRPC_CLIENT_KEY_FILE=files["GRPC_TLS_KEY_FILE"],
    )
    assert finished.err == (
        "Error: GRPC_CLIENT_KEY_FILE: is encrypted; use a key without a passphrase\n"
    )
