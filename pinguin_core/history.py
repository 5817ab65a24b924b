"""What came of each attempt to deliver a notification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final


class Outcome(Enum):
    """What came of an attempt."""

    SENT = "sent"
    REFUSED = "refused"
    """For good: trying again is pointless."""
    FAILED = "failed"
    """In a way that a later attempt may not."""
    UNCLEAR = "unclear"
    """The provider may have taken it all the same."""
    CRASHED = "crashed"
    """Its worker stopped before it could report."""
    INTERRUPTED = "interrupted"
    """The service was stopped, and did not wait for it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery that has ended.

    Attributes:
        number: which attempt it was, from 1.
        code: the provider's own code; empty if it gave none.
        text: what the provider said or what went wrong, in one line without the recipient or the
            content.
    """

    number: int
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    code: str = ""
    text: str = ""

    @property
    def is_in_doubt(self) -> bool:
        """The provider may have taken the message without our learning so."""
        return self.outcome in _IN_DOUBT


_IN_DOUBT: Final = frozenset({Outcome.UNCLEAR, Outcome.CRASHED, Outcome.INTERRUPTED})
