"""Writing the log without ever waiting for whoever reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from types import TracebackType
from typing import Final, Self, TextIO

_MOST: Final = 1 << 20  # characters that may wait to be written
_GRACE: Final = 1.0  # seconds; how long the end waits for what is not written yet


class LogStream:
    """Hands what is written to a thread, from entering the `with` to leaving it.

    A pipe that nobody reads, a stopped terminal or a stalled disk would otherwise stop whoever
    logs, and with it the whole service. When 1 MiB waits, what comes is dropped, and counted.

    Args:
        stream: where to, such as standard error; its file is written to without its buffer.
        on_loss: told, on the thread, how many texts were dropped, once there is room again.
    """

    def __init__(self, stream: TextIO, on_loss: Callable[[int], object]) -> None:
        self._stream = stream
        self._on_loss = on_loss
        self._texts: list[str] = []
        self._waiting = self._lost = 0
        self._stirred = Condition()
        self._closing = False
        # A daemon, because it may be stuck for ever.
        self._thread = Thread(target=self._run, name="pinguin-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stirred:
            self._closing = True
            self._stirred.notify()
        self._thread.join(_GRACE)

    def isatty(self) -> bool:
        """Tell whether people read it."""
        return self._stream.isatty()

    def write(self, text: str) -> None:
        """Take a text, from any thread."""
        with self._stirred:
            if self._waiting + len(text) > _MOST:
                self._lost += 1
                return
            self._texts.append(text)
            self._waiting += len(text)
            self._stirred.notify()

    def flush(self) -> None:
        """Do nothing: all is written as soon as it can be."""

    def _run(self) -> None:
        while texts := self._take():
            self._write("".join(texts).encode(errors="backslashreplace"))
            with self._stirred:
                lost, self._lost = self._lost, 0
            if lost:
                self._on_loss(lost)

    def _take(self) -> list[str]:
        """Wait for something to write; return nothing at the end."""
        with self._stirred:
            self._stirred.wait_for(lambda: self._texts or self._closing)
            texts, self._texts, self._waiting = self._texts, [], 0
            return texts

    def _write(self, data: bytes) -> None:
        # Past the stream's buffer: the interpreter cannot end while a thread is stuck in its lock.
        with suppress(OSError):  # a closed pipe or a full disk must not stop the service
            file = self._stream.fileno()
            while data:
                data = data[os.write(file, data) :]
