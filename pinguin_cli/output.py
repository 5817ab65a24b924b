"""What the commands print: aligned, coloured only on a terminal, and never interpreted.

Texts that users wrote are data: neither markup nor control sequences in them take effect.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from pinguin_grpc.client import Attempt, NotificationStatus

_LABEL: Final = 14
_INDENT: Final = "  "
_NARROWEST: Final = 20  # characters in which a provider's words can still be read
_STYLES: Final = {"SENT": "green", "FAILED": "red", "REFUSED": "red", "QUEUED": "yellow"}
_POSSIBLE: Final = "possible: an earlier attempt may have delivered it too"


def out() -> Console:
    """Return standard output as a console that neither wraps nor embellishes."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print an error on standard error."""
    remark(f"Error: {text}")


def remark(text: str) -> None:
    """Print on standard error what is worth knowing meanwhile."""
    print(printable(text), file=sys.stderr)  # noqa: T201 (standard error is the place)


def printable(text: str) -> str:
    r"""Make control characters visible, as in `\x1b`, so that they cannot steer a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text.replace("\r\n", "\n")
    )


def block(rows: Iterable[tuple[str, str]]) -> Text:
    """Lay rows out as label and value; further lines of a value stand under its first."""
    return Text("\n").join(_row(label, value) for label, value in rows)


def show(status: NotificationStatus) -> None:
    """Print all that is known of a notification."""
    console = out()
    console.print(block(status_rows(status)))
    if status.attempts:
        width = console.width if console.is_terminal else None
        console.print(Text.assemble(("Attempts", "dim"), "\n", table(status.attempts, width)))


def status_rows(status: NotificationStatus) -> list[tuple[str, str]]:
    """Name everything that is known of a notification; what does not apply is left out."""
    rows = [
        ("ID", status.id),
        ("Status", status.status.name),
        ("Type", status.channel.value),
        ("To", status.recipient),
        ("Subject", status.subject),
        ("Message", status.body),
        ("Segments", str(status.sms_segments or "")),
        ("Created", moment(status.created_at)),
        ("Updated", moment(status.updated_at)),
        ("Scheduled", moment(status.scheduled_at)),
        ("Next attempt", moment(status.next_attempt_at)),
        ("Retries", str(status.retry_count)),
        ("Last error", status.last_error),
        ("Provider ID", status.provider_message_id),
        ("Duplicate", _POSSIBLE if status.possible_duplicate else ""),
    ]
    return [(label, value) for label, value in rows if value]


def table(attempts: Sequence[Attempt], width: int | None = None) -> Text:
    """Lay attempts out a line each: number, beginning, time taken, outcome, the provider's words.

    Args:
        attempts: at least one.
        width: where to wrap the words, under their beginning; nowhere if it is absent.
    """
    cells = [
        (str(each.number), moment(each.started_at), _taken(each), each.outcome.name.lower())
        for each in attempts
    ]
    number, began, taken, outcome = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = []
    for each, cell in zip(attempts, cells, strict=True):
        left = f"{_INDENT}{cell[0]:>{number}}  {cell[1]:{began}}  {cell[2]:>{taken}}  "
        indent = len(left) + outcome + 2
        words = _wrapped(_words(each), width and max(width - indent, _NARROWEST))
        gap = " " * (indent - len(left) - len(cell[3])) if words else ""
        right = ("\n" + " " * indent).join(words)
        lines.append(Text.assemble(left, (cell[3], style_of(each.outcome.name)), gap + right))
    return Text("\n").join(lines)


def moment(when: datetime | None) -> str:
    """Write a moment to the second, in UTC."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def style_of(status: str) -> str:
    """Return the colour of a status."""
    return _STYLES.get(status, "")


def _taken(attempt: Attempt) -> str:
    seconds = (attempt.ended_at - attempt.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _words(attempt: Attempt) -> str:
    """Return the provider's code and words; many words begin with the code."""
    text = printable(attempt.text).replace("\n", " ")
    code = printable(attempt.code).replace("\n", " ")
    return text if code in text else f"{code} {text}".strip()


def _wrapped(words: str, width: int | None) -> list[str]:
    return textwrap.wrap(words, width) if width else [words] * bool(words)


def _row(label: str, value: str) -> Text:
    first, *rest = printable(value).split("\n")
    lines = [first, *(" " * _LABEL + line for line in rest)]
    style = style_of(value) if label == "Status" else ""
    return Text.assemble((label.ljust(_LABEL), "dim"), ("\n".join(lines), style))
