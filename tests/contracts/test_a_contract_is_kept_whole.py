from __future__ import annotations

import pkgutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pinguin_core import Email, EmailAddress, Message
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


def test_keeping_the_contract_from_looking_is_in_vain() -> None:
    class Quiet:
        def __init_subclass__(cls) -> None:
            """Do not tell the others."""

    with pytest.raises(TypeError, match="test_an_id_is_added_once"):

        class Careless(Quiet, NotificationRepositoryContract):
            def test_an_id_is_added_once(self) -> None:
                """Pass."""


def test_a_test_cannot_be_taken_away_afterwards() -> None:
    class Sly(NotificationRepositoryContract):
        pass

    with pytest.raises(TypeError, match=r"Sly\.test_an_id_is_added_once"):
        Sly.test_an_id_is_added_once = None  # type: ignore[assignment,method-assign]  # the offence
    assert callable(Sly.test_an_id_is_added_once)


def test_what_the_tests_send_cannot_be_chosen() -> None:
    with pytest.raises(TypeError, match="longest, messages, sample"):

        class Choosy(EmailSenderContract):
            sample = Email(EmailAddress("ada@example.com"), "Hi", "Easy")

            def messages(self) -> SearchStrategy[Message]:
                return st.just(self.sample)

            def longest(self) -> Message:
                return self.sample


def test_the_tests_cannot_be_hidden() -> None:
    with pytest.raises(TypeError, match="__test__"):

        class Hidden(NotificationRepositoryContract):
            __test__ = False


@pytest.mark.parametrize("examples", [3, 0, -1, None])
def test_too_few_examples_are_an_error(examples: Any) -> None:
    with pytest.raises(TypeError, match=r"Hasty\.examples must be a number, 4 or more"):
        type("Hasty", (NotificationRepositoryContract,), {"examples": examples})

    class Slow(NotificationRepositoryContract):
        examples = 4

    with pytest.raises(TypeError, match=r"Slow\.examples"):
        Slow.examples = examples


def test_what_stands_behind_a_contract_may_have_any_names() -> None:
    class Behind(ABC):
        @abstractmethod
        def messages(self) -> None:
            """Not of the contract, and not in its way."""

    class Sound(EmailSenderContract, Behind):  # type: ignore[misc]  # another messages, behind
        pass

    assert Sound.messages is EmailSenderContract.messages


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
