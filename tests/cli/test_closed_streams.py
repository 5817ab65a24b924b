"""Standard streams that a service manager or a shell has closed."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import COMMAND, PATIENCE, environment


@contextmanager
def started(
    *arguments: str, redirected: str, cwd: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a command with its streams as a shell redirects them; it is killed if it hangs."""
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *arguments],
        cwd=cwd,
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if_it_hangs = threading.Timer(PATIENCE, process.kill)
        if_it_hangs.start()
        yield process
        process.wait()
        if_it_hangs.cancel()


@pytest.mark.parametrize("redirected", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_service_runs_and_stops_without_them(tmp_path: Path, redirected: str) -> None:
    """No socket gets the number of a stream, which an event loop does not close."""
    with started(
        "serve",
        "--sandbox",
        redirected=redirected,
        cwd=tmp_path,
        variables={"GRPC_LISTEN_ADDR": "127.0.0.1:0"},
    ) as service:
        assert service.stdout is not None
        is_ready = any(line.startswith("Stop") for line in iter(service.stdout.readline, ""))
        service.send_signal(signal.SIGTERM)
    assert is_ready
    assert service.returncode == 0


@pytest.mark.parametrize("redirected", ["", ">&-", "<&- >&- 2>&-"])
def test_a_command_ends_well_without_them(tmp_path: Path, redirected: str) -> None:
    with started("--version", redirected=redirected, cwd=tmp_path, variables={}) as command:
        out, err = command.communicate()
    assert (command.returncode, err) == (0, "")
    assert out == ("" if redirected else f"pinguin {version('pinguin')}{os.linesep}")


def test_a_message_from_a_closed_standard_input_is_empty(tmp_path: Path) -> None:
    arguments = ("send", "--to", "ada@example.com", "--message", "-")
    with started(*arguments, redirected="<&-", cwd=tmp_path, variables={}) as command:
        _, err = command.communicate()
    assert command.returncode == 2
    assert err.startswith("Error: Invalid value for --message: must not be empty")
