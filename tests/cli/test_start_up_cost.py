"""The client commands start quickly: they load none of what only the service needs."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import PATIENCE, environment

HEAVY = {
    "aiohttp",
    "aiosmtpd",
    "aiosmtplib",
    "alembic",
    "dependency_injector",
    "loguru",
    "pinguin_adapters",
    "sqlalchemy",
    "sqlmodel",
}
SCRIPT = """
import sys
from pinguin_cli.app import main
sys.argv = ["pinguin", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["send", "--to", "ada@example.com", "--message", "Hello"],
        ["status", "notif-1"],
    ],
    ids=" ".join,
)
def test_only_what_is_needed_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    """There is no such host, so that the whole way to the connection is gone, once."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=tmp_path,
        env=environment(
            {"NOTIFICATION_AUTH_TOKEN": "token", "GRPC_SERVER_ADDR": "nowhere.invalid:1"}
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert "pinguin_cli" in loaded
    assert loaded & HEAVY == set()
