import signal
import subprocess
from pathlib import Path

import pytest
from support.commands import COMMAND, PATIENCE, environment, run


def test_the_demo_shows_three_messages_on_their_whole_way(tmp_path: Path) -> None:
    """It needs no settings, and minds none."""
    finished = run("demo", cwd=tmp_path, variables={"SMTP_PORT": "bad", "LOG_LEVEL": "DEBUG"})
    assert (finished.code, finished.err) == (0, "")
    for text in (
        "Your order has shipped",
        "It should arrive on Thursday.",
        "Your appointment is now",
        "Your code is 424242",
        "To            ada@example.com",
        "To            +15550100123",
    ):
        assert text in finished.out
    assert finished.out.count("SENT") == 3
    assert finished.out.index("SENT") < finished.out.index("What arrived")
    assert "\x1b" not in finished.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_of_a_demo_that_is_ended(tmp_path: Path, signum: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"],
        cwd=tmp_path,
        env=environment({"TMPDIR": str(tmp_path)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert "listens on" in demo.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        demo.send_signal(signum)
        _, err = demo.communicate(timeout=PATIENCE)
    assert (demo.returncode, err) == (130, "")
    assert list(tmp_path.iterdir()) == []
