"""The `.env` file in the working directory."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pinguin_cli.settings import ClientSettings, SettingsError

Environment = Callable[[Mapping[str, str]], None]


def problems_with(content: bytes, set_environment: Environment, folder: Path) -> tuple[str, ...]:
    (folder / ".env").write_bytes(content)
    return problems(set_environment)


def problems(set_environment: Environment) -> tuple[str, ...]:
    set_environment({"NOTIFICATION_AUTH_TOKEN": "token"})
    with pytest.raises(SettingsError) as caught:
        ClientSettings.read()
    return caught.value.problems


def test_it_is_read(set_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NOTIFICATION_AUTH_TOKEN=from-file\nGRPC_SERVER_ADDR=[::1]:1\n")
    set_environment({})
    settings = ClientSettings.read()
    assert settings.tokens == ["from-file"]
    assert str(settings.grpc_server_addr) == "[::1]:1"


def test_real_variables_win(set_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NOTIFICATION_AUTH_TOKEN=from-file\n")
    set_environment({"NOTIFICATION_AUTH_TOKEN": "real"})
    assert ClientSettings.read().tokens == ["real"]


def test_an_empty_variable_takes_back_what_the_file_says(
    set_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("NOTIFICATION_AUTH_TOKEN=x\nGRPC_SERVER_ADDR=elsewhere:1\n")
    set_environment({"GRPC_SERVER_ADDR": ""})
    assert str(ClientSettings.read().grpc_server_addr) == "localhost:50051"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("SMTP_HOTS=x", "SMTP_HOTS: is not a setting; did you mean SMTP_HOST?"),
        (
            "TWILIO_FORM_NUMBER=x",
            "TWILIO_FORM_NUMBER: is not a setting; did you mean TWILIO_FROM",
        ),
        (
            "GRPC_LISTEN_ADDRESS=x",
            "GRPC_LISTEN_ADDRESS: is not a setting; did you mean GRPC_LISTEN",
        ),
        ("FROM_EMIAL=x", "FROM_EMIAL: is not a setting; did you mean FROM_EMAIL?"),
        ("MAX_RETRY=1", "MAX_RETRY: is not a setting; did you mean MAX_RETRIES?"),
        ("smtp_host=x", "smtp_host: is not a setting; did you mean SMTP_HOST?"),
        ("SMS_LIMIT=x", "SMS_LIMIT: is not a setting of Pinguin; remove it from .env"),
        ("EMAIL_HOST=x", "EMAIL_HOST: is not a setting of Pinguin; remove it from .env"),
        ("FROM_NAME=x", "FROM_NAME: is not a setting of Pinguin; remove it from .env"),
        ("SMTP_GREETING=x", "SMTP_GREETING: is not a setting of Pinguin; remove it from .env"),
        ("= nothing", ".env: line 2 is not of the form NAME=value"),
        ("'FOO", ".env: line 2 is not of the form NAME=value"),
    ],
)
def test_what_is_wrong_in_it_is_named(
    set_environment: Environment, tmp_path: Path, line: str, problem: str
) -> None:
    (found,) = problems_with(f"# ours\n{line}\n".encode(), set_environment, tmp_path)
    assert found.startswith(problem)


def test_names_of_other_programs_are_left_alone(
    set_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=x\nMAX_CONNECTIONS=5\nDEBUG=1\nBARE\n")
    set_environment({"NOTIFICATION_AUTH_TOKEN": "token", "SMTP_OF_ANOTHER_PROGRAM": "x"})
    assert ClientSettings.read().tokens == ["token"]


def test_one_that_is_no_text_is_refused(set_environment: Environment, tmp_path: Path) -> None:
    assert problems_with(b"\xff\xfe", set_environment, tmp_path) == (
        ".env: cannot be read: it is not UTF-8",
    )


def test_a_folder_of_that_name_is_refused(set_environment: Environment, tmp_path: Path) -> None:
    """Docker makes one where a file to mount is missing."""
    (tmp_path / ".env").mkdir()
    assert problems(set_environment) == (".env: cannot be read: Is a directory",)


def test_a_link_to_nothing_is_refused(set_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("moved.env")
    assert problems(set_environment) == (".env: cannot be read: No such file or directory",)


def test_nothing_in_a_value_is_replaced(
    set_environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password may look like a variable of a shell."""
    (tmp_path / ".env").write_text("NOTIFICATION_AUTH_TOKEN=a${HOME}$b\n")
    monkeypatch.setenv("HOME", "elsewhere")
    set_environment({})
    assert ClientSettings.read().tokens == ["a${HOME}$b"]


def test_it_may_be_a_pipe(set_environment: Environment, tmp_path: Path) -> None:
    """Keepers of secrets write it anew for each reader."""
    os.mkfifo(tmp_path / ".env")
    line = "NOTIFICATION_AUTH_TOKEN=from-a-pipe\n"
    writer = threading.Thread(target=(tmp_path / ".env").write_text, args=(line,), daemon=True)
    writer.start()
    set_environment({})
    assert ClientSettings.read().tokens == ["from-a-pipe"]
    writer.join()
