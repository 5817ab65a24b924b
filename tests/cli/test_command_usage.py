"""The command line itself: what is wrong with it is said in one line, and ends with code 2."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import Shell

ADA = ["--to", "ada@example.com", "--message", "Hello"]


def test_version(shell: Shell) -> None:
    assert shell("--version").out == f"pinguin {version('pinguin')}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["demo", "-h"], ["send", "-h"], ["status", "-h"]]
)
def test_every_command_explains_itself(shell: Shell, arguments: list[str]) -> None:
    printed = shell(*arguments)
    assert printed.code == 0
    assert "Usage: pinguin" in printed.out
    assert printed.err == ""


def test_without_a_command_it_explains_itself(shell: Shell) -> None:
    printed = shell()
    assert printed.code == 2
    assert all(command in printed.out for command in ("serve", "demo", "send", "status"))
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sned"], "No such command 'sned'. Did you mean 'send'? See pinguin --help"),
        (["--verbose"], "No such option: --verbose"),
        (["serve", "now"], "Got unexpected extra argument"),
        (["serve", "--sandbx"], "No such option: --sandbx"),
        (["send", *ADA, "--form", "x"], "No such option: --form"),
        (["send", "--message", "Hello"], "Missing option '--to'. See pinguin send --help"),
        (["send", "--to", "ada@example.com"], "Missing option '--message'"),
        (["send", "--to"], "Option '--to' requires an argument. See pinguin send --help"),
        (["send", *ADA, "--type", "fax"], "for '--type': 'fax' is not one of 'email', 'sms'"),
        (["send", *ADA, "--at", "tomorrow"], "Invalid value for '--at': must be an RFC 3339"),
        (["send", *ADA, "--at", "2030-01-01"], "'--at': must be an RFC 3339 time"),
        (["send", *ADA, "--at", "2030-01-01T09:00:00.1234567Z"], "with at most 6 decimals"),
        (["send", *ADA, "--at", "2030-01-01T09:00:00"], "'--at': must be an RFC 3339 time"),
        (["send", *ADA, "--at", "2030-02-30T09:00:00Z"], "'--at': there is no such date"),
        (["send", *ADA, "--at", "2030-01-01T09:00:00+99:00"], "'--at': there is no such date"),
        (["send", *ADA, "--at", "0001-01-01T00:00:00+14:00"], "'--at': there is no such date"),
        (["send", "--to", "ada", "--message", "x"], "Invalid value for --to: must be one e-mail"),
        (["send", "--to", "", "--message", "x"], "Invalid value for --to: must not be empty"),
        (["send", *ADA[:2], "--message", " "], "Invalid value for --message: must not be empty"),
        (["send", *ADA, "--subject", "a\nb"], "Invalid value for --subject: must be one line"),
        (["send", *ADA, "--type", "sms"], "Invalid value for --to: must be a number in E.164"),
        (
            ["send", "--to", "+15550100123", "--message", "x"],
            "must be one e-mail address, as in ada@example.com; for an SMS, add --type sms",
        ),
        (["status"], "Missing argument 'ID'. See pinguin status --help"),
        (["send", *ADA, "--idempotency-key", "a b"], "for --idempotency-key: must be visible"),
        (["send", *ADA, "--idempotency-key", ""], "for --idempotency-key: must be visible"),
        (["send", *ADA, "--idempotency-key", "k" * 256], "at most 255 characters. See pinguin"),
        (["status", "no/id"], "Invalid value for ID: must be 1 to 64 letters"),
        (["status", "no/id"], "as in notif-… See pinguin status --help"),
    ],
)
def test_misuse_is_told_in_one_line(
    shell: Shell,
    arguments: list[str],
    problem: str,
) -> None:
    printed = shell(*arguments)
    assert printed.code == 2
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert problem in printed.err
    assert printed.err.count("\n") == 1


def test_a_message_that_is_no_text_is_misuse(shell: Shell) -> None:
    printed = shell(*("send", *ADA[:2], "--message", "-"), stdin=b"Gr\xfc\xdfe")
    assert (printed.code, printed.out) == (2, "")
    problem = "Invalid value for --message: standard input is not UTF-8."
    assert printed.err == f"Error: {problem} See pinguin send --help\n"


@pytest.mark.parametrize(
    "arguments", [("send", *ADA), ("status", "notif-1"), ("serve",)], ids=lambda words: words[0]
)
def test_a_missing_token_is_told_in_one_line(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    finished = shell(*arguments)
    lines = [line for line in finished.err.splitlines() if "NOTIFICATION_AUTH_TOKEN: " in line]
    assert finished.code == 1
    assert len(lines) == 1
    assert "Traceback" not in finished.err
    assert list(tmp_path.iterdir()) == []


def test_several_problems_are_told_a_line_each(shell: Shell) -> None:
    finished = shell("serve", variables={"SMTP_PORT": "x", "SMTP_HOST": "y"})
    assert finished.code == 1
    assert [line.partition(":")[0] for line in finished.err.splitlines()] == [
        "Error",
        "  SMTP_PORT",
        "  FROM_EMAIL",
        "  NOTIFICATION_AUTH_TOKEN",
    ]


def test_without_a_provider_it_names_the_ways_out(shell: Shell) -> None:
    finished = shell("serve", variables={"NOTIFICATION_AUTH_TOKEN": "token"})
    assert finished.code == 1
    assert finished.err.count("\n") == 1
    assert "SMTP_HOST" in finished.err
    assert "pinguin serve --sandbox" in finished.err


def test_a_missing_package_is_named_with_what_installs_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no release on an index: `pip install pinguin` would bring another's, if anything."""
    monkeypatch.setitem(sys.modules, "pinguin_cli.settings", None)
    printed = shell("status", "notif-1")
    assert printed.code == 1
    assert "is not installed; in a clone of Pinguin's repository" in printed.err
    assert "pip install '.[server]'" in printed.err
