"""An SMTP server that bears only so much, as real ones do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from support.scripted_smtp import AndHangUp, Answer, ScriptedSmtp

_REFUSALS: Final[dict[str, Answer]] = {
    "CONNECT": AndHangUp("421 4.7.0 too many"),
    "MAIL": "450 4.7.1 too many",
    "RCPT": "452 4.3.2 too many",
    "DATA": "432 4.3.2 too many",
    "END": "432 4.3.2 too many",
}


@dataclass
class LimitedSmtp(ScriptedSmtp):
    """Refuses sessions and messages beyond its limits: with 421, and hangs up; or at a later verb.

    Attributes:
        most_sessions: how many sessions it bears at once.
        refuses_at: where it refuses one more: at `CONNECT`, or at a verb of each message.
        hangs_up: it refuses by 421 and hangs up, at whichever verb.
        per_session: how many messages it takes in a session.
        refuses_each: every so many-th session is refused, whatever else there is.
        refused: how many sessions it refused.
    """

    most_sessions: int | None = None
    refuses_at: str = "CONNECT"
    hangs_up: bool = False
    per_session: int | None = None
    refuses_each: int | None = None
    refused: int = 0
    _unwanted: set[int] = field(default_factory=set)
    _begun: Counter[int] = field(default_factory=Counter)

    def next_answer(self, verb: str, session: int) -> Answer:
        if verb == "CONNECT" and self._is_too_much(session):
            self._unwanted.add(session)
        if verb == self.refuses_at and session in self._unwanted:
            self.refused += 1
            if verb == "END":
                self.messages.remove(
                    next(it for it in reversed(self.messages) if it.session == session)
                )
            return AndHangUp("421 4.7.0 too many") if self.hangs_up else _REFUSALS[verb]
        if verb == "MAIL":
            self._begun[session] += 1
            if self.per_session is not None and self._begun[session] > self.per_session:
                return AndHangUp("421 4.7.0 too many messages in this session")
        return super().next_answer(verb, session)

    def bear_no_more_than(self, sessions: int) -> None:
        """Bear only so many from now on, of those that there are the first."""
        self.most_sessions = sessions
        self._unwanted.update(range(sessions + 1, self.sessions + 1))

    def _is_too_much(self, session: int) -> bool:
        crowded = self.most_sessions is not None and self.open_sessions > self.most_sessions
        return crowded or (self.refuses_each is not None and session % self.refuses_each == 0)
