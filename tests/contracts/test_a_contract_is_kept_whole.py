from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from pinguin_core.testing import contracts
from pinguin_core.testing.contracts import EmailSenderContract, NotificationRepositoryContract


def test_replacing_a_test_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"Careless replaces .*: test_an_id_is_added_once"):

        class Careless(NotificationRepositoryContract):
            def test_an_id_is_added_once(self) -> None:
                """Pass."""


def test_dropping_a_test_is_an_error() -> None:
    with pytest.raises(TypeError, match="test_ids_differ_by_case, test_the_next_wake_is_in_utc"):

        class Sly(NotificationRepositoryContract):
            test_the_next_wake_is_in_utc = None  # type: ignore[assignment]  # the offence
            test_ids_differ_by_case = None  # type: ignore[assignment]  # the offence


def test_shadowing_a_test_from_beside_is_an_error() -> None:
    class Beside:
        def test_a_refusal_is_permanent(self) -> None:
            """Pass."""

    with pytest.raises(TypeError, match="test_a_refusal_is_permanent"):

        class Shadowed(Beside, EmailSenderContract):
            pass


def test_tests_may_be_added() -> None:
    class Thorough(NotificationRepositoryContract):
        def test_something_else(self) -> None:
            """Pass."""

    assert issubclass(Thorough, NotificationRepositoryContract)


def test_forgetting_the_opener_says_which() -> None:
    class Forgetful(NotificationRepositoryContract):
        pass

    with pytest.raises(NotImplementedError, match=r"Forgetful must define storage\(\)"):
        Forgetful().test_an_id_is_added_once()


def test_every_module_that_asserts_explains_its_failures() -> None:
    [folder] = contracts.__path__
    asserting = {
        module.name
        for module in pkgutil.iter_modules([folder])
        if "assert " in Path(folder, f"{module.name}.py").read_text()
    }
    assert asserting <= set(contracts.WITH_ASSERTS)


def test_the_fakes_need_neither_hypothesis_nor_pytest() -> None:
    code = (
        "import sys, pinguin_core.testing.fakes; "
        "print({'hypothesis', 'pytest', '_pytest'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
