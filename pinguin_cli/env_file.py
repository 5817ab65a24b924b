"""The `.env` file: what is wrong with it as a file. Its values are read with all the others."""

from __future__ import annotations

import difflib
import io
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

FILE: Final = ".env"
"""Where it is: in the working directory."""

_OURS: Final = ("DATABASE_", "GRPC_", "NOTIFICATION_", "SMTP_", "TWILIO_")
_ALIKE: Final = 0.8  # lets MAX_RETRY pass for MAX_RETRIES, and MAX_CONNECTIONS be another's

# We report such lines ourselves; without a handler they would go to standard error as they are.
logging.getLogger("dotenv").addHandler(logging.NullHandler())


def problems(known: Collection[str]) -> list[str]:
    """Name the lines that cannot be understood and the settings that do not exist.

    Names that are nothing like ours are left alone: the file may be shared with other programs.
    """
    path = Path(FILE)
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [unreadable(error)]
    return list(_problems(text, known))


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Say that the file cannot be read at all."""
    reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
    return f"{FILE}: cannot be read: {reason}"


def _problems(text: str, known: Collection[str]) -> Iterator[str]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            yield f"{FILE}: line {binding.original.line} is not of the form NAME=value"
        elif binding.key is not None and binding.key not in known:
            yield from _unknown(binding.key, sorted(known))


def _unknown(name: str, known: Sequence[str]) -> Iterator[str]:
    alike = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE)
    if alike:
        yield f"{name}: is no setting; did you mean {alike[0]}?"
    elif name.upper().startswith(_OURS):
        yield f"{name}: is no setting of Pinguin; take it out of {FILE}, or mend its name"
