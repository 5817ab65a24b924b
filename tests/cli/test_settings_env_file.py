"""The `.env` file in the working directory."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pinguin_cli.settings import ClientSettings, SettingsError

Environment = Callable[[Mapping[str, str]], None]


def problems_with(content: bytes, set_environment: Environment, folder: Path) -> tuple[str, ...]:
    (folder / ".env").write_bytes(content)
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
        ("SMTP_HOTS=x", "SMTP_HOTS: is no setting; did you mean SMTP_HOST?"),
        ("TWILIO_FORM_NUMBER=x", "TWILIO_FORM_NUMBER: is no setting; did you mean TWILIO_FROM_N"),
        ("GRPC_LISTEN_ADDRESS=x", "GRPC_LISTEN_ADDRESS: is no setting; did you mean GRPC_LISTEN_A"),
        ("FROM_EMIAL=x", "FROM_EMIAL: is no setting; did you mean FROM_EMAIL?"),
        ("MAX_RETRY=1", "MAX_RETRY: is no setting; did you mean MAX_RETRIES?"),
        ("smtp_host=x", "smtp_host: is no setting; did you mean SMTP_HOST?"),
        ("SMTP_GREETING=x", "SMTP_GREETING: is no setting of Pinguin; take it out of .env"),
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


def test_a_folder_of_that_name_is_none(set_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    set_environment({"NOTIFICATION_AUTH_TOKEN": "token"})
    assert ClientSettings.read().tokens == ["token"]
