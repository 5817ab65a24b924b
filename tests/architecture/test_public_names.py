"""What an application may import stands in one list, and nothing is missing from it."""

from __future__ import annotations

import inspect
import re
from importlib import import_module, resources
from pathlib import Path
from types import ModuleType

import pytest

import pinguin_core
from pinguin_core import errors, message, notification, ports, retry

PACKAGES = [
    "pinguin_core",
    "pinguin_adapters.smtp_sender",
    "pinguin_adapters.sqlmodel_store",
    "pinguin_adapters.twilio_sender",
]
LISTS = [
    *PACKAGES,
    "pinguin_grpc.client",
    "pinguin_core.testing.contracts",
    "pinguin_core.testing.fakes",
    "pinguin_core.testing.strategies",
]
NAMES = [(place, name) for place in LISTS for name in import_module(place).__all__]
USES = "".join(path.read_text() for path in (Path(__file__).parents[1] / "typing").glob("*.py"))


@pytest.mark.parametrize("place", LISTS)
def test_the_list_is_sorted_and_holds_no_name_twice(place: str) -> None:
    listed = import_module(place).__all__
    assert listed == sorted(set(listed), key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_list_is_what_the_package_offers(package: str) -> None:
    offered = {
        name
        for name, value in vars(import_module(package)).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert offered == set(import_module(package).__all__)


@pytest.mark.parametrize("module", [errors, message, notification, ports, retry])
def test_every_class_of_the_domain_is_in_the_list(module: ModuleType) -> None:
    defined = {
        name
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert defined <= set(pinguin_core.__all__)


@pytest.mark.parametrize(("place", "name"), NAMES)
def test_every_public_class_and_function_says_what_it_is(place: str, name: str) -> None:
    public = getattr(import_module(place), name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert inspect.getdoc(public)


@pytest.mark.parametrize("name", sorted({name for _, name in NAMES}))
def test_every_public_name_is_used_as_an_application_would(name: str) -> None:
    """Once to import it, and again."""
    assert len(re.findall(rf"\b{name}\b", USES)) > 1


@pytest.mark.parametrize("package", ["pinguin_core", "pinguin_adapters", "pinguin_grpc"])
def test_the_types_are_there_for_whoever_installs_it(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()
