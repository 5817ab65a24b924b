"""The programs that the documentation prints, run as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.scripted_smtp import ScriptedSmtp

DOCS: Final = Path(__file__).parents[2] / "docs"
EXAMPLES: Final = DOCS / "examples"
_PATIENCE: Final = 30.0
_PROGRAM: Final = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def printed(page: str) -> list[str]:
    """The programs of a page, in order."""
    return _PROGRAM.findall((DOCS / page).read_text())


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int | None
    out: list[str]
    err: str


@dataclass(frozen=True)
class Program:
    """A Python program that runs; every warning is an error to it."""

    process: Process

    async def says(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), _PATIENCE)
        return line.decode().strip()

    async def ends(self) -> Ended:
        """Wait until it has ended."""
        out, err = await asyncio.wait_for(self.process.communicate(), _PATIENCE)
        return Ended(self.process.returncode, out.decode().splitlines(), err.decode())

    async def stops(self) -> Ended:
        """Tell it to stop, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ends()


@asynccontextmanager
async def program(folder: Path, smtp: ScriptedSmtp, *arguments: str) -> AsyncIterator[Program]:
    """Run Python in a folder while the block runs, with its relay set."""
    relay = {"SMTP_HOST": smtp.host, "SMTP_PORT": str(smtp.port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments),
        cwd=folder,
        env={**os.environ, **relay},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_program(folder: Path, smtp: ScriptedSmtp, *arguments: str) -> Ended:
    """Run Python to its end."""
    async with program(folder, smtp, *arguments) as running:
        return await running.ends()
