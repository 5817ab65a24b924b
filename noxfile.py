"""What is checked on every push: `nox` runs the default sessions, `nox -l` lists all of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False

HERE = Path(__file__).parent
GROUPS = nox.project.load_toml(HERE / "pyproject.toml")["dependency-groups"]
BENCHMARKS = [
    "accept",
    "drain",
    "end_to_end",
    "delivery",
    "slow_provider",
    "scheduled",
    "store",
    "stores",
    "claim",
    "outbox",
]

EXTRAS = {
    "sqlmodel": "pinguin_adapters.sqlmodel_store",
    "postgres": "pinguin_adapters.sqlmodel_store.postgresql",
    "mysql": "pinguin_adapters.sqlmodel_store.mysql, pymysql",
    "smtp": "pinguin_adapters.smtp_sender",
    "twilio": "pinguin_adapters.twilio_sender",
    "grpc": "pinguin_grpc.server, pinguin_grpc.client",
    "cli": "pinguin_cli.app",
    "server": "pinguin_cli.serve, pinguin_cli.container",
    "testing": "pinguin_core.testing.fakes",
}
"""Each extra, and what can be imported when it alone is installed."""


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def installed(*versions: str) -> list[str]:
    """Choose the CPython versions that this machine has; a launcher alone is not one."""
    commands = [(version, shutil.which(f"python{version}")) for version in versions]
    return [version for version, command in commands if command and _succeeds(command, "-c", "")]


PYTHONS = installed("3.11", "3.12", "3.13", "3.14")
if not PYTHONS:
    raise SystemExit("Pinguin needs CPython 3.11 or newer, and found none as python3.11, 3.12, …")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, and the arrows between the packages."""
    session.install(".[server]", *GROUPS["lint"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.install("-e", ".[server,speed,testing]", *GROUPS["tests"], *GROUPS["typing"])
    session.run("mypy")


@nox.session
def proto(session: nox.Session) -> None:
    """Regenerate the code of the wire, and fail on a difference."""
    session.install(*GROUPS["proto"])
    session.run("python", "scripts/generate_wire.py", "--check")


@nox.session
def core_alone(session: nox.Session) -> None:
    """Deliver where nothing but the core is installed."""
    session.install(".")
    session.run("python", "-I", "tests/core_alone.py")


@nox.session
def extras(session: nox.Session) -> None:
    """Import each package with its own extra installed, and no other."""
    session.install("uv")
    for extra, modules in EXTRAS.items():
        home = Path(session.create_tmp()) / extra
        python = str(home / "bin" / "python")
        session.run(
            "uv",
            "venv",
            "-q",
            "--clear",
            "-p",
            session.python if isinstance(session.python, str) else "python",
            str(home),
        )
        session.run("uv", "pip", "install", "-q", "-p", python, f"{HERE}[{extra}]")
        session.run(python, "-I", "-c", f"import {modules}", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite without the tests of reliability, on every CPython that is installed."""
    session.install(".[server,speed,testing]", *GROUPS["tests"])
    session.run("pytest", "-n", "auto", "-m", "not reliability", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the same with the oldest dependencies allowed, and without the `speed` extra."""
    session.install("uv")
    requirements = [".[server,testing]", *GROUPS["tests"]]
    session.run("uv", "pip", "install", "-q", "--resolution", "lowest-direct", *requirements)
    session.run("pytest", "-n", "auto", "-m", "not reliability", *session.posargs)


@nox.session(python=PYTHONS[0])
def reliability(session: nox.Session) -> None:
    """Kill, stop and cut the power while it works: nothing that was answered may be lost."""
    session.install(".[server,speed,testing]", *GROUPS["tests"])
    session.run("pytest", "-n", "2", "-m", "reliability", "--durations", "0", *session.posargs)


@nox.session(python=PYTHONS[0], default=False)
def reliability_long(session: nox.Session) -> None:
    """Do the same far more often; this takes hours."""
    session.install(".[server,speed,testing]", *GROUPS["tests"])
    environment = {"PINGUIN_RELIABILITY": "long"}
    command = ("pytest", "-n", "2", "-m", "reliability", "--timeout", "7200")
    session.run(*command, *session.posargs, env=environment)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the figures of docs/benchmarks.md on this machine."""
    session.install(".[server,speed,testing]", *GROUPS["tests"])
    for name in BENCHMARKS:
        session.run("python", f"benchmarks/{name}.py")
