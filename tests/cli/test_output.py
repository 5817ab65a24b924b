"""What commands print: aligned, and never interpreted."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pinguin_cli.output import block, printable


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


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))
