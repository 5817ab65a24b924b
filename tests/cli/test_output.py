"""What commands print: aligned, and never interpreted."""

import io
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pinguin_cli.output import block, printable, table
from pinguin_core.testing.fakes import NOON
from pinguin_grpc.client import Attempt, Outcome


def shown(rows: list[tuple[str, str]], width: int = 20) -> str:
    page = io.StringIO()
    Console(file=page, highlight=False, markup=False, soft_wrap=True, width=width).print(
        block(rows)
    )
    return page.getvalue()


def test_rows_are_aligned_and_never_wrapped() -> None:
    assert shown([("ID", "notif-1"), ("Message", "word " * 9 + "word"), ("", "below")]) == (
        "ID            notif-1\nMessage       " + "word " * 9 + "word\n              below\n"
    )


def test_further_lines_stand_under_the_first() -> None:
    assert shown([("Message", "one\r\ntwo\n\nthree")]) == (
        "Message       one\n              two\n              \n              three\n"
    )


def test_markup_in_a_text_is_text() -> None:
    assert shown([("Subject", "[red]sale[/red] :smile: \\[x]")]) == (
        "Subject       [red]sale[/red] :smile: \\[x]\n"
    )


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("Grüße, 世界 🐧", "Grüße, 世界 🐧"),
    ],
)
def test_control_characters_steer_no_terminal(text: str, harmless: str) -> None:
    assert printable(text) == harmless


def attempt(
    number: int,
    took: timedelta,
    outcome: Outcome,
    code: str = "",
    text: str = "",
) -> Attempt:
    return Attempt(number, NOON, NOON + took, outcome, code, text)


BUSY = "SMTP RCPT: 450 4.2.1 mailbox busy, try again later"
HISTORY = [
    attempt(9, timedelta(milliseconds=312), Outcome.FAILED, "450 4.2.1", BUSY),
    attempt(10, timedelta(minutes=1), Outcome.CRASHED),
    attempt(11, timedelta(seconds=2.5), Outcome.SENT, "250", "2.0.0 queued"),
]


def test_attempts_stand_in_columns_a_line_each() -> None:
    """The provider's code is told once, also where its words begin with it."""
    assert table(HISTORY).plain == (
        "   9  2030-01-01 12:00:00 UTC  312 ms  failed   " + BUSY + "\n"
        "  10  2030-01-01 12:00:00 UTC  60.0 s  crashed\n"
        "  11  2030-01-01 12:00:00 UTC   2.5 s  sent     250 2.0.0 queued"
    )


def test_on_a_terminal_the_words_are_wrapped_under_their_beginning() -> None:
    lines = table(HISTORY, 80).plain.splitlines()
    column = lines[0].index("SMTP")
    assert max(map(len, lines)) <= 80
    assert " ".join(line[column:] for line in lines[:2]) == BUSY
    assert lines[1][:column].isspace()
    assert lines[2:] == table(HISTORY[1:]).plain.splitlines()


def test_on_a_very_narrow_terminal_the_words_can_still_be_read() -> None:
    lines = table(HISTORY[:1], 20).plain.splitlines()
    assert " ".join(line[lines[0].index("SMTP") :] for line in lines) == BUSY
    assert len(lines) < 5


def test_words_of_a_provider_steer_no_terminal() -> None:
    (line,) = table(
        [attempt(1, timedelta(0), Outcome.REFUSED, "5\n0", "a\x1b[2Jb")]
    ).plain.splitlines()
    assert line.endswith("0 ms  refused  5 0 a\\x1b[2Jb")


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))
