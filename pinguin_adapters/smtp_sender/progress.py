"""How far one attempt has got; kept apart from the attempt, so that it outlives a time-out."""

from __future__ import annotations

from dataclasses import dataclass

from pinguin_adapters.smtp_sender.replies import Phase


@dataclass(slots=True)
class Progress:
    """The phase that an attempt is in."""

    phase: Phase = Phase.WAIT
