"""Standard streams that whoever started this process has closed."""

from __future__ import annotations

import os
import sys


def reopen_closed() -> None:
    """Put the null device where a standard stream is closed.

    The next file or socket would otherwise take its number, and with it what is meant for it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
