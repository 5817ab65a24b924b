"""The core stands on the standard library alone, and what is optional stays optional."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

LOADED = """
import sys
before = set(sys.modules)
import {module}
roots = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(roots - set(sys.stdlib_module_names) - {{"pinguin_core"}}))
"""


def core_modules() -> list[str]:
    modules = grimp.build_graph("pinguin_core").modules
    return sorted(name for name in modules if not name.startswith("pinguin_core.testing"))


@pytest.mark.parametrize("module", core_modules())
def test_the_core_imports_the_standard_library_only(module: str) -> None:
    """Also inside functions and for typing: an embedder has nothing else."""
    graph = grimp.build_graph("pinguin_core", include_external_packages=True)
    imported = graph.find_modules_directly_imported_by(module)
    roots = {name.partition(".")[0] for name in imported}
    assert roots - sys.stdlib_module_names <= {"pinguin_core"}


@pytest.mark.parametrize("module", core_modules())
def test_the_core_does_not_import_its_testing_kit(module: str) -> None:
    graph = grimp.build_graph("pinguin_core")
    testing = {name for name in graph.modules if name.startswith("pinguin_core.testing")}
    assert not graph.find_modules_directly_imported_by(module) & testing


@pytest.mark.parametrize("module", ["pinguin_core", "pinguin_core.testing.fakes"])
def test_importing_it_loads_no_third_party_module(module: str) -> None:
    script = LOADED.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_the_container_is_the_only_place_that_knows_the_injector() -> None:
    graph = grimp.build_graph(
        "pinguin_core",
        "pinguin_adapters",
        "pinguin_grpc",
        "pinguin_cli",
        include_external_packages=True,
    )
    users = (
        graph.find_modules_that_directly_import("dependency_injector")
        if "dependency_injector" in graph.modules
        else set()
    )
    assert users <= {"pinguin_cli.container"}
