"""Log records: their form, and that nothing private is in them."""

import asyncio
import io
import json
import logging
import threading
import warnings
from datetime import timedelta
from typing import Any

import pytest

from pinguin_cli import logs
from pinguin_cli.observer import LogObserver
from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    ExponentialBackoff,
    Notification,
    NotificationId,
    PermanentDeliveryError,
    PhoneNumber,
    Receipt,
    Sms,
    StoreUnavailable,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON

pytestmark = pytest.mark.usefixtures("own_logging")

LEASE = timedelta(minutes=1)
EMAIL = Email(EmailAddress("sam@example.com"), "private subject", "private body")
SMS = Sms(PhoneNumber("+15550100123"), "private body")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    """Takes the log, at DEBUG."""
    logged = io.StringIO()
    logs.set_up("DEBUG", logged)
    return logged


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def queued(message: Email | Sms = EMAIL) -> Notification:
    return Notification.queue(NotificationId("notif-1"), message, NOON)


def test_a_record_is_a_line_of_json(stream: io.StringIO) -> None:
    logs.record("INFO", "service.ready", address="localhost:1", channels=None, word="grüß\n{x} <b>")
    (found,) = records(stream)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "INFO",
        "event": "service.ready",
        "address": "localhost:1",
        "word": "grüß\n{x} <b>",
    }


def test_on_a_terminal_it_is_made_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    logs.set_up("INFO", terminal)
    logs.record("INFO", "service.ready", address="localhost:1", word="two words\x1b[31m")
    assert "\x1b[32mINFO   \x1b[0m service.ready" in terminal.getvalue()
    assert 'address=localhost:1 word="two words\\u001b[31m"' in terminal.getvalue()


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    logs.set_up("INFO", terminal)
    logs.record("ERROR", "trouble")
    assert "\x1b" not in terminal.getvalue()


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 4), ("INFO", 3), ("WARN", 2), ("ERROR", 1)])
def test_records_below_the_level_are_dropped(level: str, lines: int) -> None:
    stream = io.StringIO()
    logs.set_up(level, stream)
    for each in ("DEBUG", "INFO", "WARNING", "ERROR"):
        logs.record(each, "event")
    assert len(records(stream)) == lines


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    closed = io.StringIO()
    logs.set_up("INFO", closed)
    closed.close()
    logs.record("INFO", "event")


def test_the_way_of_a_notification(stream: io.StringIO) -> None:
    """Each step is a record: queued, sending, retrying, sending, sent."""
    policy = ExponentialBackoff()
    first = queued()
    sending = first.start(NOON, LEASE)
    again = sending.fail(TransientDeliveryError("RCPT: 450 later"), NOON, policy)
    resumed = again.start(NOON + LEASE, LEASE)
    sent = resumed.succeed(Receipt("<notif-1@example.com>"), NOON)
    for step in (first, sending, again, resumed, sent):
        LogObserver().on_change(step)
    found = records(stream)
    assert [(entry["event"], entry["level"]) for entry in found] == [
        ("notification.queued", "DEBUG"),
        ("notification.sending", "DEBUG"),
        ("notification.retrying", "WARNING"),
        ("notification.sending", "DEBUG"),
        ("notification.sent", "INFO"),
    ]
    assert {entry["to"] for entry in found} == {"s•••@example.com"}
    assert {(entry["id"], entry["channel"]) for entry in found} == {("notif-1", "email")}
    assert [entry["attempts"] for entry in found] == [0, 1, 1, 2, 2]
    assert found[2]["last_error"] == "RCPT: 450 later"
    assert found[2]["next_attempt"] > NOON.isoformat()
    assert found[4]["provider_message_id"] == "<notif-1@example.com>"


def test_what_a_limit_holds_is_told(stream: io.StringIO) -> None:
    LogObserver().on_change(queued().start(NOON, LEASE).hold("enough", NOON, NOON + LEASE))
    (entry,) = records(stream)
    assert (entry["level"], entry["event"]) == ("WARNING", "notification.held")
    assert entry["last_error"] == "held until 2030-01-01 12:01:00 UTC: enough"


def test_what_is_to_wait_is_told_at_once(stream: io.StringIO) -> None:
    """Of others the outcome is told in a moment; of these, not for long."""
    LogObserver("INFO").on_change(queued())
    LogObserver("INFO").on_change(queued().reschedule(NOON + LEASE, NOON))
    (entry,) = records(stream)
    assert (entry["level"], entry["event"]) == ("INFO", "notification.scheduled")
    assert entry["next_attempt"] == (NOON + LEASE).isoformat()


def test_a_failure_is_an_error_with_its_reason(stream: io.StringIO) -> None:
    sending = queued(SMS).start(NOON, LEASE)
    LogObserver().on_change(
        sending.fail(PermanentDeliveryError("21211"), NOON, ExponentialBackoff())
    )
    (entry,) = records(stream)
    assert (entry["level"], entry["event"]) == ("ERROR", "notification.failed")
    assert (entry["to"], entry["state"], entry["last_error"]) == ("+1•••0123", "Failed", "21211")


def test_an_error_of_ours_is_told_in_its_words_with_its_causes(stream: io.StringIO) -> None:

    def fail() -> None:
        try:
            int("private body")
        except ValueError as cause:
            raise StoreUnavailable("cannot reach sam@example.com") from cause

    try:
        fail()
    except StoreUnavailable as error:
        LogObserver().on_trouble("claiming due email", error)
    (entry,) = records(stream)
    assert (entry["level"], entry["event"]) == ("WARNING", "trouble")
    assert entry["error"] == "StoreUnavailable: cannot reach s•••@example.com"
    assert entry["cause"] == "ValueError"
    assert entry["at"].startswith("cli/test_logs.py:")


def test_of_a_foreign_error_only_type_and_place_are_told(stream: io.StringIO) -> None:
    """Nobody vouches for what its text quotes."""
    private = "private body"
    try:
        int(private)
    except ValueError as error:
        LogObserver().on_trouble("sending notif-1", error)
    (entry,) = records(stream)
    assert (entry["level"], entry["error"]) == ("ERROR", "ValueError")
    assert "private" not in stream.getvalue()


def test_the_words_of_libraries_are_scrubbed(stream: io.StringIO) -> None:
    log = logging.getLogger("chatty")
    log.debug("DATA readline: private body")
    log.info("subject: private subject")
    log.warning("cannot reach %s\nprivate body", "sam@example.com")
    (entry,) = records(stream)
    assert (entry["event"], entry["logger"]) == ("library", "chatty")
    assert entry["message"] == "cannot reach s•••@example.com"


def test_an_exception_of_a_library_is_told_without_its_text(stream: io.StringIO) -> None:
    try:
        int("private body")
    except ValueError:
        logging.getLogger("chatty").exception("it broke")
    (entry,) = records(stream)
    assert (entry["message"], entry["error"]) == ("it broke", "ValueError")


def test_a_bad_record_of_a_library_does_no_harm(stream: io.StringIO) -> None:
    bad = logging.makeLogRecord(
        {"name": "chatty", "levelno": logging.WARNING, "msg": "%d", "args": ("private",)}
    )
    logging.getLogger().handlers[0].handle(bad)
    (entry,) = records(stream)
    assert entry["message"] == "unreadable"


@pytest.mark.parametrize("name", ["hpack.hpack", "h2.connection", "hyperframe"])
def test_what_logs_headers_is_kept_quiet(stream: io.StringIO, name: str) -> None:
    """At DEBUG these write the bearer token."""
    assert logging.getLogger(name).getEffectiveLevel() == logging.WARNING
    logging.getLogger(name).debug("authorization: Bearer s3cret")
    assert stream.getvalue() == ""


def test_warnings_are_records_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("call +15550100123", stacklevel=1)
    (entry,) = records(stream)
    assert entry["logger"] == "py.warnings"
    assert "+15550100123" not in entry["message"]


def test_strays_are_logged_without_what_they_quote(stream: io.StringIO) -> None:
    """What escapes from a callback or a thread would be printed with all its arguments."""

    def stray(what: str) -> None:
        raise RuntimeError(what)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        logs.catch_strays(loop)
        loop.call_soon(stray, "private body")
        await asyncio.to_thread(lambda: None)

    asyncio.run(main())
    thread = threading.Thread(target=stray, args=("private body",))
    thread.start()
    thread.join(10)
    found = records(stream)
    assert [(entry["where"], entry["error"]) for entry in found] == [
        ("event loop", "RuntimeError"),
        ("thread", "RuntimeError"),
    ]
    assert "private" not in stream.getvalue()


def test_a_provider_that_is_down_is_an_error_and_its_return_is_told(stream: io.StringIO) -> None:
    observer = LogObserver()
    observer.on_provider(Channel.EMAIL, is_up=False, reason="SMTP connect: Connection refused")
    observer.on_provider(Channel.EMAIL, is_up=True, reason="")
    down, up = records(stream)
    assert (down["level"], down["event"]) == ("ERROR", "provider.down")
    assert (down["channel"], down["reason"]) == ("email", "SMTP connect: Connection refused")
    assert (up["level"], up["event"], up["channel"]) == ("INFO", "provider.up", "email")
