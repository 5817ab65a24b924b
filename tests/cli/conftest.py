from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pinguin_cli.settings import ClientSettings, ServerSettings

Environment = Callable[[Mapping[str, str]], None]

OURS = {name.upper() for model in (ServerSettings, ClientSettings) for name in model.model_fields}


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Gives the process exactly these settings, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)

    def set_all(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all
