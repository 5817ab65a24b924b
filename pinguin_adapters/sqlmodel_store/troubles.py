"""Telling of what goes on in the background: nobody waits for it who could be told."""

from __future__ import annotations

from pinguin_core.ports import Observer


class Troubles:
    """Tells an observer of the first trouble in a row, on the event loop.

    Args:
        observer: is told.
        where: what is being done.
    """

    def __init__(self, observer: Observer, where: str) -> None:
        self._observer = observer
        self._where = where
        self._is_well = True

    def end(self) -> None:
        """Learn that all is well, so that the next trouble is worth telling."""
        self._is_well = True

    def tell(self, error: Exception) -> None:
        """Learn of trouble."""
        if self._is_well:
            self._is_well = False
            self._observer.on_trouble(self._where, error)
