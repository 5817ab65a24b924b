"""How many sessions a relay lets us have at once: learned from its refusals."""

from __future__ import annotations

from typing import Final

_FIRST_PAUSE: Final = 5.0  # seconds
_LONGEST_PAUSE: Final = 600.0


class SessionLimit:
    """Falls to what is open when the relay refuses one session more; grows again, one by one.

    To grow is to try: one more session, when somebody needs it and a pause is over. The pause is 5
    seconds at first; it doubles, up to 10 minutes, each time that the one more is refused, and is
    5 seconds again once it is granted. Moments are seconds of any clock that never goes back.

    Args:
        most: the highest that it becomes, and where it begins; 1 or more.
    """

    def __init__(self, most: int) -> None:
        self.sessions = most
        self._most = most
        self._pause = _FIRST_PAUSE
        self._grow_at = 0.0
        self._trying = False

    def admits(self, open_sessions: int, now: float) -> bool:
        """Tell whether one more may be opened while so many are open; it may grow for that."""
        if open_sessions >= self.sessions and self.sessions < self._most and now >= self._grow_at:
            self.sessions += 1
            self._trying = True
            self._grow_at = now + self._pause
        return open_sessions < self.sessions

    def granted(self) -> None:
        """Learn that the relay took one more."""
        if self._trying:
            self._trying = False
            self._pause = _FIRST_PAUSE

    def refused(self, others: int, now: float) -> None:
        """Learn that the relay refused one more than these, of which there is at least one."""
        if self._trying:
            self._trying = False
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.sessions = min(self.sessions, others)
        self._grow_at = now + self._pause
