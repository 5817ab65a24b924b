"""What all contracts have in common: they are kept whole, and they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from inspect import getattr_static
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, settings

PATIENCE: Final = 60.0
"""Seconds after which a test that hangs is ended."""

_KIT: Final = __name__.rpartition(".")[0]


class Contract:
    """A set of tests to inherit, and nothing but inherit.

    Attributes:
        examples: how many examples each property tries, and how many programs the model test runs;
            raise it in your class to search longer. The examples are the same in every run.
    """

    examples: ClassVar[int] = 30

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
    """Return the settings of a contract's properties: repeatable, and indifferent to slowness."""
    return settings(
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
