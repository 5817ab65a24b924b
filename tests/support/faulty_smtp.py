"""An SMTP server at its worst: at random it refuses, hangs up and talks nonsense."""

from __future__ import annotations

import random
from collections import Counter
from email import message_from_bytes
from typing import Final

from support.limited_smtp import LimitedSmtp
from support.scripted_smtp import AndHangUp, Answer, BreakingOff, Silence

_SHARE: Final = 0.06
_FAULTS: Final[dict[str, Answer]] = {
    "busy": "451 4.3.0 later",
    "says goodbye": AndHangUp("421 4.3.2 shutting down"),
    "says goodbye, and stays": "421 4.3.2 shutting down",
    "hangs up": Silence.HANG_UP,
    "hangs up in mid-reply": BreakingOff("250 o"),
    "talks nonsense": AndHangUp("nonsense"),
    "is out of step": AndHangUp("399 what?"),
}
ALL_FAULTS: Final = len(_FAULTS)
_REFUSED: Final = {"busy", "says goodbye", "says goodbye, and stays"}
"""What says of a message that it was not taken."""


class FaultySmtp(LimitedSmtp):
    """Takes what it can in few sessions, and counts what it took.

    Attributes:
        taken: how often it took each message, by Message-ID.
        befell: how often each fault occurred.
    """

    def __init__(self, luck: random.Random) -> None:
        super().__init__(extensions=("PIPELINING", "SIZE"), most_sessions=4, per_session=9)
        self.taken = Counter[str]()
        self.befell = Counter[str]()
        self._luck = luck

    def next_answer(self, verb: str, session: int) -> Answer:
        answer = super().next_answer(verb, session)
        fault = "none"
        if self._luck.random() < _SHARE:
            fault = self._luck.choice(list(_FAULTS))
            answer = _FAULTS[fault]
        self.befell[fault] += 1
        if verb == "END" and fault not in _REFUSED:
            lost = fault != "none" and self._luck.random() < 0.5
            name = message_from_bytes(self.messages[-1].content)["Message-ID"]
            self.taken[name] += not lost
        return answer
