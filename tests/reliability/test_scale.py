from __future__ import annotations

import pytest
from reliability.scale import chance


def test_all_tests_of_this_folder_carry_the_mark(request: pytest.FixtureRequest) -> None:
    """Without it, the sessions of noxfile.py would run them too often, or never."""
    assert request.node.get_closest_marker("reliability")


def test_the_same_seed_and_name_bring_the_same_chance() -> None:
    assert chance("kill").random() == chance("kill").random()
    assert chance("kill").random() != chance("stop").random()
