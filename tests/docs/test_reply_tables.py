"""The tables of replies for operators say what the code does, for every code that there is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from pinguin_adapters.smtp_sender import replies as smtp
from pinguin_adapters.twilio_sender import replies as twilio
from pinguin_core import (
    DeliveryError,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)
from pinguin_core.failover import FALLBACK
from pinguin_core.notification import CRASHED, HELD, INTERRUPTED

PAGE: Final = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
CODE: Final = re.compile(r"`([^`]+)`")
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
ENHANCED: Final = [
    "",
    "4.2.1",
    "4.3.1",
    "4.3.2",
    "4.7.0",
    "5.1.1",
    "5.1.8",
    "5.2.1",
    "5.2.2",
    "5.2.3",
    "5.3.4",
    "5.4.5",
    "5.5.4",
    "5.6.7",
    "5.7.1",
]
OTHER: Final = "any other error code"
TWILIO_CODES: Final = [None, *(int(key) for key in twilio.VERDICTS if len(key) == 5), 30001]


def rows(title: str) -> list[list[str]]:
    """The cells of the table after a comment, without its head."""
    _, _, after = PAGE.partition(f"<!-- {title} -->\n")
    table = after.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def outcome(cell: str) -> str:
    return re.split(r"[;:, ]", cell)[0]


def outcome_of(error: DeliveryError) -> str:
    match error:
        case PermanentDeliveryError():
            return "fails"
        case ProviderMisconfigured():
            return "held"
        case TransientDeliveryError(ambiguous=True):
            return "unclear"
        case TransientDeliveryError(of_provider=True):
            return "outage"
    return "again"


def documented(table: Mapping[str, str], *keys: str) -> str | None:
    return next((table[key] for key in keys if key in table), None)


def smtp_table(phase: smtp.Phase) -> dict[str, str]:
    return {
        code: outcome(then)
        for when, says, then in rows("the relay's replies")
        if phase.value in CODE.findall(when)
        for code in CODE.findall(says)
    }


@pytest.mark.parametrize("phase", sorted(smtp.VERDICTS.keys() - {smtp.Phase.RSET}, key=str))
def test_a_relay_s_replies(phase: smtp.Phase) -> None:
    table = smtp_table(phase)
    for code, enhanced in product(range(200, 600), ENHANCED):
        if enhanced and enhanced[0] != str(code)[0]:
            continue
        reply = smtp.Reply(code, f"{enhanced} so it is".strip())
        said = documented(
            table, enhanced, f"{enhanced.rpartition('.')[0]}.x", str(code), f"{code // 100}xx"
        )
        if smtp.judge(phase, reply) is smtp.Verdict.ACCEPTED:
            assert said == ("sent" if phase is smtp.Phase.END else "accepted"), (code, enhanced)
        else:
            makes_no_sense = "unclear" if phase is smtp.Phase.END else "outage"
            assert (said or makes_no_sense) == outcome_of(smtp.refusal(phase, reply))


@pytest.mark.parametrize("status", range(200, 600))
def test_twilio_s_replies(status: int) -> None:
    table = {
        code: outcome(then)
        for says, then in rows("Twilio's replies")
        for code in ([OTHER] if says.startswith(OTHER) else CODE.findall(says))
    }
    for code in TWILIO_CODES:
        reply = twilio.Reply(status, json.dumps({"sid": "SM1", "code": code}).encode())
        keys = [str(status), f"{status // 100}xx"]
        if code is not None and status // 100 == 4:
            keys = [str(code), str(status), OTHER]
        said = documented(table, *keys)
        if twilio.judge(reply) is twilio.Verdict.SENT:
            assert said == "sent"
        else:
            assert said == outcome_of(twilio.refusal(reply, NOW)), (status, code)


def test_errors_begin_as_the_page_says() -> None:
    ours = [f"SMTP {phase.value}:" for phase in smtp.Phase]
    ours += ["Twilio: HTTP 400, error 21211:", f"{FALLBACK}:", HELD, CRASHED, INTERRUPTED]
    for says, _ in rows("beginnings"):
        beginning = CODE.findall(says)[0]
        assert any(each.startswith(beginning) or beginning.startswith(each) for each in ours)
