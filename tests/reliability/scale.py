"""How much the tests of reliability do: little on every push, much in the long run."""

from __future__ import annotations

import os
import random
from typing import Final

LONG: Final = os.environ.get("PINGUIN_RELIABILITY") == "long"
"""Whether this is the long run: `nox -s reliability_long`."""

_SAME: Final = 2968593645
"""It begins with an SMS that Twilio takes too late by less than it was looked for."""

_NEW: Final = random.SystemRandom().randrange(1 << 32)

SEED: Final = int(os.environ.get("PINGUIN_SEED") or (_NEW if LONG else _SAME))
"""Where chance begins: the same on every push, anew in each long run, or as `PINGUIN_SEED` says."""


def scale(every_push: int, long: int) -> int:
    """Choose how much to do in this run."""
    return long if LONG else every_push


def chance(name: str) -> random.Random:
    """Return this run's source of chance for what has this name; others do not disturb it."""
    return random.Random(f"{SEED} {name}")
