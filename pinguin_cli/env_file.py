"""The `.env` file: what it says, and what is wrong with it as a file."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv.parser import Binding, parse_stream

from pinguin_cli import names

FILE: Final = ".env"
"""Where it is: in the working directory."""

# We report such lines ourselves; without a handler they would go to standard error as they are.
logging.getLogger("dotenv").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class EnvFile:
    """Its lines."""

    bindings: Sequence[Binding] = ()

    @property
    def values(self) -> Mapping[str, str | None]:
        """What it says, as it stands there: `${x}` in a password is just that."""
        return {each.key: each.value for each in self.bindings if each.key is not None}

    def problems(self, known: Collection[str]) -> Iterator[str]:
        """Name the lines that cannot be understood and the settings that do not exist.

        Names that are nothing like ours are left alone: it may be shared with other programs.
        """
        for binding in self.bindings:
            if binding.error:
                yield f"{FILE}: line {binding.original.line} is not of the form NAME=value"
            elif binding.key is not None and binding.key not in known:
                yield from _unknown(binding.key, known)


def read() -> EnvFile:
    """Read it once, because it may be a pipe; without one there is nothing in it.

    Raises:
        OSError: if it cannot be read, a folder or a link to nothing included.
        UnicodeDecodeError: if it is no text.
    """
    if not os.path.lexists(FILE):
        return EnvFile()
    text = Path(FILE).read_text(encoding="utf-8")
    return EnvFile(tuple(parse_stream(io.StringIO(text))))


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Say that the file cannot be read at all."""
    reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
    return f"{FILE}: cannot be read: {reason}"


def _unknown(name: str, known: Collection[str]) -> Iterator[str]:
    if setting := names.meant(name, known):
        yield f"{name}: is not a setting; did you mean {setting}?"
    elif names.looks_like_one(name):
        yield f"{name}: is not a setting of Pinguin; remove it from {FILE} or correct its name"
