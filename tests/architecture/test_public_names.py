"""What an application may import stands in one list, and nothing is missing from it."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import pinguin_core
from pinguin_core import errors, message, notification, ports, retry


def test_the_list_is_sorted_and_holds_no_name_twice() -> None:
    assert pinguin_core.__all__ == sorted(set(pinguin_core.__all__))


def test_the_list_is_what_the_package_offers() -> None:
    offered = {
        name
        for name, value in vars(pinguin_core).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert offered == set(pinguin_core.__all__)


@pytest.mark.parametrize("module", [errors, message, notification, ports, retry])
def test_every_class_of_the_domain_is_in_the_list(module: ModuleType) -> None:
    defined = {
        name
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert defined <= set(pinguin_core.__all__)


@pytest.mark.parametrize("name", pinguin_core.__all__)
def test_every_public_class_says_what_it_is(name: str) -> None:
    public = getattr(pinguin_core, name)
    if inspect.isclass(public):
        assert inspect.getdoc(public)
