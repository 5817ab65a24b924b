"""What a forked child must not keep open, because its parent's death is to close it."""

from __future__ import annotations

import os
from typing import Final

_KEPT: Final[set[int]] = set()


def keep_from_children(file: int) -> None:
    """Have an open file end with this process, though children that it forks live on."""
    _KEPT.add(file)


def close(file: int) -> None:
    """Close such a file. Its number may stand for another one from then on, so that goes first."""
    _KEPT.discard(file)
    os.close(file)


def _let_go() -> None:
    """Have each number stand for nothing: to close it is still up to whoever opened it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in _KEPT:
        os.dup2(nothing, file, inheritable=False)
    os.close(nothing)
    _KEPT.clear()


os.register_at_fork(after_in_child=_let_go)
