"""The pages for operators name every setting, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from pinguin_cli.settings import ClientSettings, ServerSettings

DOCS: Final = Path(__file__).parents[2] / "docs"
SETTINGS: Final = {
    name.upper() for model in (ServerSettings, ClientSettings) for name in model.model_fields
}
CODE: Final = re.compile(r"`([^`\n]+)`")
NAME: Final = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


def named(page: str) -> set[str]:
    """What a page writes as code and looks like a setting."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {name for code in CODE.findall(text) for name in NAME.findall(code)}


def test_every_setting_is_described() -> None:
    assert named("configuration.md") >= SETTINGS


@pytest.mark.parametrize("page", ["configuration.md", "providers.md", "moving-from-go.md"])
def test_no_setting_is_made_up(page: str) -> None:
    assert named(page) <= SETTINGS
