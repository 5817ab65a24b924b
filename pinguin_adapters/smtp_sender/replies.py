"""Which reply of a relay means what: one table, and the errors that follow from it.

See RFC 5321 4.2 for the codes and RFC 3463 for the enhanced ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from pinguin_core.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from pinguin_core.masking import scrub

CLOSING: Final = 421
"""The code by which a relay says, at any time, that it is about to hang up."""

_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


class Phase(Enum):
    """How far an attempt has got; the value is what reasons call it."""

    WAIT = "waiting for a free session"
    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "message content"
    END = "end of message"
    """The final dot has left: from here on only a reply tells whether the message was taken."""


class Verdict(Enum):
    """What a reply means for the attempt."""

    ACCEPTED = auto()
    RETRY = auto()
    FAIL = auto()
    CONFIGURATION = auto()
    """The relay objects to us, not to the message: an operator must act, then it can be sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a relay answered: a code, and its text, in which lines end in a line feed."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced code, such as `5.1.1`, if there is one that fits the code; or empty."""
        match = _ENHANCED.match(self.text)
        return match[0] if match and match[1] == str(self.code)[0] else ""

    @property
    def words(self) -> str:
        """The text without its enhanced codes, on one line."""
        lines = (line.removeprefix(self.enhanced).strip() for line in self.text.split("\n"))
        return " ".join(filter(None, lines))


_ANY_REFUSAL: Final = {"4": Verdict.RETRY, "5": Verdict.RETRY}
_MESSAGE: Final = {"4": Verdict.RETRY, "5": Verdict.FAIL, "530": Verdict.CONFIGURATION}
_US: Final = {"4": Verdict.RETRY, "5": Verdict.CONFIGURATION}

VERDICTS: Final[Mapping[Phase, Mapping[str, Verdict]]] = {
    Phase.CONNECT: _ANY_REFUSAL,
    Phase.EHLO: _ANY_REFUSAL,
    Phase.STARTTLS: _ANY_REFUSAL,
    Phase.AUTH: _US,
    Phase.RSET: {"2": Verdict.ACCEPTED, **_ANY_REFUSAL},
    Phase.MAIL: {"2": Verdict.ACCEPTED, **_US},
    Phase.RCPT: {
        "2": Verdict.ACCEPTED,
        **_MESSAGE,
        "552": Verdict.RETRY,
        "5.1": Verdict.FAIL,
        "5.2.1": Verdict.FAIL,
        "5.2.2": Verdict.RETRY,
    },
    Phase.DATA: {"3": Verdict.ACCEPTED, **_MESSAGE},
    Phase.CONTENT: _MESSAGE,
    Phase.END: {"2": Verdict.ACCEPTED, **_MESSAGE},
}
"""For each phase, verdicts by enhanced code, its first two parts, code, or the code's first digit:
the first of these that is there counts. None of them there: the relay is out of step."""


def judge(phase: Phase, reply: Reply) -> Verdict | None:
    """Look a reply up in the table; None if it makes no sense in its phase."""
    code = str(reply.code)
    enhanced = reply.enhanced
    keys = (enhanced, enhanced.rpartition(".")[0], code, code[0])
    return next((VERDICTS[phase][key] for key in keys if key in VERDICTS[phase]), None)


def quoted(reply: Reply, hide: Iterable[str] = ()) -> str:
    """Repeat a reply in a form that may be kept and shown; what is in `hide` is left out."""
    return " ".join(filter(None, (str(reply.code), reply.enhanced, scrub(reply.words, hide))))


def refusal(phase: Phase, reply: Reply, hide: Iterable[str] = ()) -> DeliveryError:
    """Return the error that a reply other than the hoped-for amounts to.

    What is in `hide` is not repeated, should the relay repeat it.
    """
    said = quoted(reply, hide)
    match judge(phase, reply):
        case Verdict.FAIL:
            return PermanentDeliveryError(f"SMTP {phase.value}: {said}")
        case Verdict.RETRY:
            return trouble(phase, said, in_doubt=False)
        case Verdict.CONFIGURATION:
            return trouble(phase, f"{said} (check the relay's configuration)", in_doubt=False)
        case _:
            return trouble(phase, f"unexpected reply {said}")


def trouble(phase: Phase, problem: str, *, in_doubt: bool = True) -> TransientDeliveryError:
    """Return the error for what went wrong in a phase, so that it must be tried again.

    It is ambiguous after the final dot, unless the relay's answer leaves no doubt.
    """
    ambiguous = in_doubt and phase is Phase.END
    return TransientDeliveryError(f"SMTP {phase.value}: {problem}", ambiguous=ambiguous)
