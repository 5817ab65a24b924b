"""What all contracts have in common: they are kept whole, and they end."""

from __future__ import annotations

import asyncio
from abc import ABCMeta
from collections.abc import Callable, Coroutine
from inspect import getattr_static
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings

PATIENCE: Final = 60.0
"""Seconds after which a test that hangs is ended."""

FEWEST_EXAMPLES: Final = 4

ContractT = TypeVar("ContractT", bound="Contract")
_KIT: Final = f"{__name__.rpartition('.')[0]}."
_YOURS: Final = frozenset({"storage", "provider", "policy", "examples"})


class _Whole(ABCMeta):
    """Refuses what would take something away from a contract, in a class or afterwards.

    Unlike `__init_subclass__`, a class from beside cannot keep it from looking. It is an `ABCMeta`,
    so that abstract classes may stand beside a contract.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
        super().__init__(name, bases, body)
        if replaced := sorted(each for each in dir(cls) if cls._is_replaced(each)):
            names = ", ".join(replaced)
            raise TypeError(f"{name} replaces what belongs to the contract it inherits: {names}")
        _check_examples(name, getattr_static(cls, "examples", FEWEST_EXAMPLES))

    def __setattr__(cls, name: str, value: object) -> None:
        if cls._is_hidden(name, value) or any(map(_is_of_kit, cls._homes(name))):
            raise TypeError(f"{cls.__name__}.{name} belongs to the contract, and cannot be set")
        if name == "examples":
            _check_examples(cls.__name__, value)
        super().__setattr__(name, value)

    def _is_replaced(cls, name: str) -> bool:
        homes = cls._homes(name)
        replaced = any(map(_is_of_kit, homes)) and not _is_of_kit(homes[0])
        return replaced or cls._is_hidden(name, getattr_static(cls, name, None))

    def _is_hidden(cls, name: str, value: object) -> bool:
        """Tell whether pytest would pass the tests over."""
        return name == "__test__" and not value

    def _homes(cls, name: str) -> list[type]:
        """List the classes that define a public name, the one that counts first."""
        if name.startswith("_") or name in _YOURS:
            return []
        return [base for base in cls.__mro__ if name in vars(base)]


def _is_of_kit(home: type) -> bool:
    return home.__module__.startswith(_KIT)


def _check_examples(name: str, examples: object) -> None:
    if not (isinstance(examples, int) and examples >= FEWEST_EXAMPLES):
        raise TypeError(f"{name}.examples must be a number, {FEWEST_EXAMPLES} or more")


class Contract(metaclass=_Whole):
    """A set of tests to inherit, and nothing but inherit.

    A class that redefines anything of it but its opener and `examples` raises `TypeError` where it
    is defined.

    Attributes:
        examples: how many examples each property tries, and how many programs the model test runs,
            4 or more; raise it in your class to search longer. They are not drawn by chance: a test
            that fails will fail again.
    """

    examples: ClassVar[int] = 20


def thoroughly(contract: Contract, **others: Any) -> settings:
    """Return the settings of properties: repeatable, indifferent to slowness, failing quickly."""
    return settings(
        phases=[phase for phase in settings().phases if phase is not Phase.explain],
        max_examples=contract.examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        **others,
    )


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run an asynchronous test to its end, on an event loop of its own."""
    asyncio.run(asyncio.wait_for(test, PATIENCE))


def as_test(
    within: Callable[[ContractT], Coroutine[Any, Any, None]], test: Callable[..., object]
) -> Callable[[ContractT], None]:
    """Make a method that runs `within`, and goes by the name of `test`."""

    def runs(self: ContractT) -> None:
        run(within(self))

    # functools.wraps would show pytest the arguments of the original.
    runs.__name__, runs.__qualname__ = test.__name__, test.__qualname__
    runs.__doc__, runs.__module__ = test.__doc__, test.__module__
    return runs
