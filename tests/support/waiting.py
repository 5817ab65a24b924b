"""Waiting on an event loop for what other processes do, and not for ever."""

from __future__ import annotations

import asyncio
from typing import Final

PATIENCE: Final = 30.0
"""Seconds after which what has not happened is taken for hung."""


async def in_time(event: asyncio.Event, what: str) -> None:
    """Wait for an event; what does not come within `PATIENCE` fails the test."""
    try:
        await asyncio.wait_for(event.wait(), PATIENCE)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


async def readable(file: int, what: str) -> None:
    """Wait, in the same way, until a file can be read."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(file, ready.set)
    try:
        await in_time(ready, what)
    finally:
        loop.remove_reader(file)
