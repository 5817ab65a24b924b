"""Logs on standard error: JSON lines on a pipe, readable on a terminal.

Nothing private at any level: no token, password, subject or body, and addresses and numbers only
masked. Everything we log is an event's name, which is a constant, and fields that we chose. The
words of libraries are scrubbed, and dropped below WARNING, where they quote what they handle. Of an
exception we keep its type and where it happened; its text only if it is one of ours or the
operating system's, because nobody vouches for what the others quote.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

from loguru import logger

from pinguin_cli.log_stream import LogStream
from pinguin_core import PinguinError
from pinguin_core.masking import scrub

if TYPE_CHECKING:
    from loguru import Message, Record

_LEVELS: Final = {"WARN": "WARNING"}
"""Our names of levels to loguru's, where they differ."""

_SECRETIVE: Final = ("hpack", "h2", "hyperframe")
"""Libraries that log headers, the bearer token among them, if they are let."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31"}
_MOST_FRAMES: Final = 8
_MOST_CAUSES: Final = 4
_MOST_TEXT: Final = 300


def unhurried(stream: TextIO) -> LogStream:
    """Let nobody who logs wait for a stream; what is lost for want of a reader, the log tells."""
    return LogStream(stream, lambda lost: record("WARNING", "log.dropped", records=lost))


def set_up(level: str, stream: TextIO | LogStream | None = None) -> None:
    """Send all records of a level and above to a stream, standard error if absent.

    Args:
        level: DEBUG, INFO, WARN or ERROR.
        stream: where to; it is written to as it is, and never closed.
    """
    stream = stream or sys.stderr
    name = _LEVELS.get(level, level)
    render = _for_people(_wants_colour()) if stream.isatty() else _for_machines
    logger.remove()
    logger.add(
        _sink(stream, render),
        level=name,
        format=lambda _: "",  # the sink renders; a template would be filled in for nothing
        diagnose=False,
        backtrace=False,
        catch=False,
    )
    _intercept(max(logging.WARNING, logging.getLevelName(name)))


def severity(level: str) -> int:
    """Return a level's place in the order of levels.

    Args:
        level: DEBUG, INFO, WARN or WARNING, or ERROR.
    """
    return logger.level(_LEVELS.get(level, level)).no


def record(level: str, event: str, **fields: object) -> None:
    """Log an event with its fields; those that are None are left out.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        event: a constant name, such as `notification.sent`.
        fields: what belongs to it, fit to be logged.
    """
    kept = {name: value for name, value in fields.items() if value is not None}
    logger.bind(**kept).log(level, event)


def describe(error: BaseException) -> dict[str, str]:
    """Turn an exception into fields that hold nothing private: what, because of what, and where."""
    fields = {"error": _name_and_text(error)}
    if causes := [_name_and_text(cause) for cause in _causes(error)]:
        fields["cause"] = " < ".join(causes)
    if error.__traceback__ is not None:
        fields["at"] = " < ".join(_frames(error.__traceback__))
    return fields


def catch_strays(loop: asyncio.AbstractEventLoop) -> None:
    """Log what escapes from callbacks, threads and finalizers, instead of printing it as it is."""
    loop.set_exception_handler(_stray_of_loop)
    threading.excepthook = lambda stray: _stray("thread", stray.exc_value)
    sys.unraisablehook = lambda stray: _stray("finalizer", stray.exc_value)


def _stray_of_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is None:  # its text is asyncio's own; with an exception, it quotes arguments
        record("ERROR", "stray", where="event loop", message=_first_line(context["message"]))
    else:
        _stray("event loop", error)


def _stray(where: str, error: BaseException | None) -> None:
    record("ERROR", "stray", where=where, **({} if error is None else describe(error)))


def _sink(stream: TextIO | LogStream, render: Callable[[Record], str]) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        # A log that cannot be written, on a closed pipe or a full disk, must not stop the service.
        with contextlib.suppress(OSError, ValueError):
            stream.write(render(message.record) + "\n")
            stream.flush()

    return write


def _for_machines(record: Record) -> str:
    fields = {
        "time": record["time"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "level": record["level"].name,
        "event": record["message"],
        **record["extra"],
    }
    return _ENCODER.encode(fields)


def _for_people(colour: bool) -> Callable[[Record], str]:  # noqa: FBT001 (private, one caller)
    def render(record: Record) -> str:
        level = f"{record['level'].name:<7}"
        if colour:
            level = f"\x1b[{_COLOURS.get(record['level'].name, '0')}m{level}\x1b[0m"
        fields = " ".join(f"{name}={_value(value)}" for name, value in record["extra"].items())
        return f"{record['time']:%H:%M:%S} {level} {record['message']:<22} {fields}".rstrip()

    return render


def _value(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else _ENCODER.encode(text)


def _wants_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _intercept(level: int) -> None:
    logging.basicConfig(handlers=[_FromLibraries(level)], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _SECRETIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


class _FromLibraries(logging.Handler):
    """Takes over what libraries tell the standard library's `logging`."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name, "message": _message(record)}
        if record.exc_info and record.exc_info[1]:
            fields |= describe(record.exc_info[1])
        level = "ERROR" if record.levelno >= logging.ERROR else "WARNING"
        logger.bind(**fields).log(level, "library")


def _message(record: logging.LogRecord) -> str:
    try:
        return _first_line(record.getMessage())
    except Exception:  # noqa: BLE001 (a library's bad record must not stop the library)
        return "unreadable"


def _first_line(text: str) -> str:
    return scrub(text.partition("\n")[0], limit=_MOST_TEXT)


def _name_and_text(error: BaseException) -> str:
    text = ""
    if isinstance(error, PinguinError):
        text = scrub(str(error), limit=_MOST_TEXT)
    elif isinstance(error, OSError):
        text = scrub(error.strerror or "", limit=_MOST_TEXT)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    for _ in range(_MOST_CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield cause
        error = cause


def _frames(trace: TracebackType) -> Iterator[str]:
    """Name the innermost frames, the innermost first, without source lines or values."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=False)
    for frame in reversed(frames[-_MOST_FRAMES:]):
        path = Path(frame.filename)
        yield f"{path.parent.name}/{path.name}:{frame.lineno} {frame.name}"
