"""Which reply of a relay means what: one table, and the errors that follow from it.

See RFC 5321 4.2 for the codes and RFC 3463 for the enhanced ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from pinguin_core.errors import (
    DeliveryError,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)
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
    MAIL_UTF8 = "MAIL with SMTPUTF8"
    """The recipient's address needs that (RFC 6531), ours does not."""
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "message content"
    END = "end of message"
    """The final dot has left: from here on only a reply tells whether the message was taken."""


class Verdict(Enum):
    """What a reply means for the attempt."""

    ACCEPTED = auto()
    RETRY = auto()
    OUTAGE = auto()
    """Retry; the relay would take no other message now either."""
    FAIL = auto()
    CONFIGURATION = auto()
    """The relay objects to us, not to the message: an operator must act, then it can be sent."""
    CROWDED = auto()
    """An outage; but if other sessions are open, the relay may only want no more than those."""


class SessionUnusable(TransientDeliveryError):
    """The message was not handed over in this session, but it may be in another.

    Attributes:
        ended: the session is over: lost, silent, or ended by the relay (421).
        crowded: the relay may want no more sessions than there are.
    """

    def __init__(self, reason: str, *, code: str = "", ended: bool, crowded: bool) -> None:
        super().__init__(reason, code=code, of_provider=True)
        self.ended = ended
        self.crowded = crowded


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


_ANY_REFUSAL: Final = {"4": Verdict.OUTAGE, "5": Verdict.OUTAGE}
_TOO_MANY: Final = {"421": Verdict.CROWDED, "4.3.2": Verdict.CROWDED, "4.7": Verdict.CROWDED}
_US: Final = {"4": Verdict.OUTAGE, "5": Verdict.CONFIGURATION, **_TOO_MANY}
_MESSAGE: Final = {
    "4": Verdict.RETRY,
    "454": Verdict.OUTAGE,
    "4.3.2": Verdict.CROWDED,
    "5": Verdict.FAIL,
    "530": Verdict.CONFIGURATION,
    "5.4.5": Verdict.CONFIGURATION,  # so says Gmail when the account's limit for the day is reached
}
# Once the recipient is accepted, the state of the mail system (RFC 3463 3.4) is the relay's own.
_CONTENT: Final = {**_MESSAGE, "4.3": Verdict.OUTAGE}

_MAIL: Final = {
    "2": Verdict.ACCEPTED,
    **_US,
    "552": Verdict.FAIL,
    "5.2.3": Verdict.FAIL,
    "5.3.4": Verdict.FAIL,
}

_INABILITIES: Final = {"552", "5.2.3", "5.3.4", "555", "5.5.4", "5.6.7"}
"""What a relay says of a message that is too large for it, or of an address that it cannot take."""

VERDICTS: Final[Mapping[Phase, Mapping[str, Verdict]]] = {
    Phase.CONNECT: {**_ANY_REFUSAL, **_TOO_MANY},
    Phase.EHLO: {**_ANY_REFUSAL, **_TOO_MANY},
    Phase.STARTTLS: {**_ANY_REFUSAL, **_TOO_MANY},
    Phase.AUTH: _US,
    Phase.RSET: {"2": Verdict.ACCEPTED, **_ANY_REFUSAL},
    Phase.MAIL: _MAIL,
    Phase.MAIL_UTF8: {
        **_MAIL,
        "555": Verdict.FAIL,
        "5.5.4": Verdict.FAIL,
        "5.6.7": Verdict.FAIL,
    },
    Phase.RCPT: {
        "2": Verdict.ACCEPTED,
        **_MESSAGE,
        "552": Verdict.RETRY,
        "5.1": Verdict.FAIL,
        "5.2.1": Verdict.FAIL,
        "5.2.2": Verdict.RETRY,
        "5.3.4": Verdict.FAIL,
    },
    Phase.DATA: {"3": Verdict.ACCEPTED, **_CONTENT},
    Phase.CONTENT: _CONTENT,
    Phase.END: {"2": Verdict.ACCEPTED, **_CONTENT},
}
"""For each phase, verdicts by enhanced code, its first two parts, code, or the code's first digit:
the first of these that is there counts. None of them there: the relay is out of step."""


def judge(phase: Phase, reply: Reply) -> Verdict | None:
    """Look a reply up in the table; None if it makes no sense in its phase."""
    code = str(reply.code)
    enhanced = reply.enhanced
    keys = (enhanced, enhanced.rpartition(".")[0], code, code[0])
    return next((VERDICTS[phase][key] for key in keys if key in VERDICTS[phase]), None)


def _is_its_own(phase: Phase, reply: Reply) -> bool:
    """Tell whether a refusal is about the relay: what it cannot take, or whom it does not serve."""
    if phase is Phase.RCPT and reply.enhanced.startswith("5.7."):
        return True
    return (reply.enhanced or str(reply.code)) in _INABILITIES


def code(reply: Reply) -> str:
    """Name a reply's codes, as in `450 4.2.1`."""
    return " ".join(filter(None, (str(reply.code), reply.enhanced)))


def quoted(reply: Reply, hide: Iterable[str] = ()) -> str:
    """Repeat a reply in a form that may be kept and shown; what is in `hide` is left out."""
    return " ".join(filter(None, (code(reply), scrub(reply.words, hide))))


def refusal(phase: Phase, reply: Reply, hide: Iterable[str] = ()) -> DeliveryError:
    """Return the error that a reply other than the hoped-for amounts to.

    What is in `hide` is not repeated, should the relay repeat it.
    """
    said = quoted(reply, hide)
    verdict = judge(phase, reply)
    if reply.code == CLOSING or verdict is Verdict.CROWDED:
        return SessionUnusable(
            f"SMTP {phase.value}: {said}",
            code=code(reply),
            ended=reply.code == CLOSING,
            crowded=verdict is Verdict.CROWDED,
        )
    match verdict:
        case Verdict.FAIL:
            return PermanentDeliveryError(
                f"SMTP {phase.value}: {said}",
                code=code(reply),
                elsewhere=_is_its_own(phase, reply),
            )
        case Verdict.RETRY | Verdict.OUTAGE:
            of_relay = verdict is Verdict.OUTAGE
            return _transient(phase, said, code=code(reply), of_provider=of_relay)
        case Verdict.CONFIGURATION:
            problem = f"{said} (check the relay's configuration)"
            return misconfigured(phase, problem, code=code(reply))
        case _:
            in_doubt = phase is Phase.END
            problem = f"unexpected reply {said}"
            return _transient(
                phase, problem, code=code(reply), ambiguous=in_doubt, of_provider=True
            )


def trouble(phase: Phase, problem: str) -> TransientDeliveryError:
    """Return the error for a connection that broke, or a time that ran out, in a phase.

    It is ambiguous after the final dot. It is the relay's trouble, whatever the message.
    """
    if phase is Phase.END:
        return _transient(phase, problem, ambiguous=True, of_provider=True)
    return SessionUnusable(f"SMTP {phase.value}: {problem}", ended=True, crowded=False)


def too_large(size: int, limit: int) -> PermanentDeliveryError:
    """Return the error for a message that a relay has said that it does not take (RFC 1870)."""
    return PermanentDeliveryError(
        f"SMTP {Phase.MAIL.value}: not sent: the message has {size} bytes, and the relay takes at"
        f" most {limit}",
        asked=False,
        elsewhere=True,
    )


def not_in_ascii(*, ours: bool) -> DeliveryError:
    """Return the error for an address that needs SMTPUTF8 at a relay without (RFC 6531).

    If it is our own, the message is not at fault.
    """
    problem = "is not ASCII before the @, and the relay does not offer SMTPUTF8"
    if ours:
        return misconfigured(Phase.MAIL, f"the sender's address {problem}")
    return PermanentDeliveryError(
        f"SMTP {Phase.MAIL.value}: the recipient's address {problem}", asked=False, elsewhere=True
    )


def misconfigured(phase: Phase, problem: str, *, code: str = "") -> ProviderMisconfigured:
    """Return the error for what an operator must mend."""
    return ProviderMisconfigured(f"SMTP {phase.value}: {problem}", code=code)


def _transient(
    phase: Phase, problem: str, *, code: str = "", ambiguous: bool = False, of_provider: bool
) -> TransientDeliveryError:
    return TransientDeliveryError(
        f"SMTP {phase.value}: {problem}", code=code, ambiguous=ambiguous, of_provider=of_provider
    )
