"""The tests that docs/writing-an-adapter.md prints run as they are printed."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from support.documented import EXAMPLES, printed
from support.mailing import FROM
from support.smtp_provider import SmtpProvider

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender


class MySender(SmtpSender):
    """What the reader of the page has written."""

    def __init__(self, port: int, *, timeout: timedelta) -> None:
        relay = SmtpRelay("127.0.0.1", port)
        super().__init__(relay, from_address=FROM, operation_timeout=timeout)


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "printed"}
    exec(compile(text, "writing-an-adapter.md", "exec"), names)
    return names


def test_the_printed_test_of_a_store_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    store, _ = printed("writing-an-adapter.md")
    run(store)["TestSqlite3Repository"]().test_what_was_added_is_found()


def test_the_printed_test_of_a_sender_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {"my_relay": ("MyRelay", SmtpProvider), "my_sender": ("MySender", MySender)}
    for module, (name, member) in written.items():
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        setattr(sys.modules[module], name, member)
    _, sender = printed("writing-an-adapter.md")
    run(sender)["TestMySender"]().test_a_message_arrives_once()
