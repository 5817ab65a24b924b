from pathlib import Path

from support.commands import run


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
