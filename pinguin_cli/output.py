"""What the commands print: aligned, coloured only on a terminal, and never interpreted.

Texts that users wrote are data: neither markup nor control sequences in them take effect.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from pinguin_grpc.client import NotificationStatus

_LABEL: Final = 14
_STYLES: Final = {"SENT": "green", "FAILED": "red", "QUEUED": "yellow"}


def out() -> Console:
    """Return standard output as a console that neither wraps nor embellishes."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print an error on standard error."""
    print(f"Error: {printable(text)}", file=sys.stderr)  # noqa: T201 (standard error is the place)


def printable(text: str) -> str:
    r"""Make control characters visible, as in `\x1b`, so that they cannot steer a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text.replace("\r\n", "\n")
    )


def block(rows: Iterable[tuple[str, str]]) -> Text:
    """Lay rows out as label and value; further lines of a value stand under its first."""
    return Text("\n").join(_row(label, value) for label, value in rows)


def status_rows(status: NotificationStatus) -> list[tuple[str, str]]:
    """Name everything that is known of a notification; what does not apply is left out."""
    rows = [
        ("ID", status.id),
        ("Status", status.status.name),
        ("Type", status.channel.value),
        ("To", status.recipient),
        ("Subject", status.subject),
        ("Message", status.body),
        ("Created", moment(status.created_at)),
        ("Updated", moment(status.updated_at)),
        ("Scheduled", moment(status.scheduled_at)),
        ("Next attempt", moment(status.next_attempt_at)),
        ("Retries", str(status.retry_count)),
        ("Last error", status.last_error),
        ("Provider ID", status.provider_message_id),
        ("Duplicate", "possible" if status.possible_duplicate else ""),
    ]
    return [(label, value) for label, value in rows if value]


def moment(when: datetime | None) -> str:
    """Write a moment to the second, in UTC."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def style_of(status: str) -> str:
    """Return the colour of a status."""
    return _STYLES.get(status, "")


def _row(label: str, value: str) -> Text:
    first, *rest = printable(value).split("\n")
    lines = [first, *(" " * _LABEL + line for line in rest)]
    style = style_of(value) if label == "Status" else ""
    return Text.assemble((label.ljust(_LABEL), "dim"), ("\n".join(lines), style))
