"""What all contracts have in common: they are kept whole, and they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from inspect import getattr_static
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings

PATIENCE: Final = 60.0
"""Seconds after which a test that hangs is ended."""

ContractT = TypeVar("ContractT", bound="Contract")
_KIT: Final = __name__.rpartition(".")[0]


class Contract:
    """A set of tests to inherit, and nothing but inherit.

    Attributes:
        examples: how many examples each property tries, and how many programs the model test runs;
            raise it in your class to search longer. They are not drawn by chance: a test that
            fails will fail again.
    """

    examples: ClassVar[int] = 20

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if replaced := sorted(_replaced(cls)):
            names = ", ".join(replaced)
            raise TypeError(f"{cls.__name__} replaces tests of the contract it inherits: {names}")


def _replaced(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        if base.__module__.startswith(_KIT):
            for name, member in vars(base).items():
                if name.startswith("test_") and getattr_static(cls, name) is not member:
                    yield name


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
