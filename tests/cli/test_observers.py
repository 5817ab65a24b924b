"""Several observers are told of everything, whatever one of them does."""

from __future__ import annotations

import asyncio

from support.dispatching import BrokenObserver, NotingObserver
from support.samples import queued

from pinguin_cli.observer import Observers
from pinguin_core import Channel


def test_the_bug_of_one_keeps_nothing_from_the_others() -> None:
    noting = NotingObserver()
    bugs = []

    async def tell() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
        both = Observers(BrokenObserver(), noting)
        both.on_change(queued())
        both.on_provider(Channel.EMAIL, is_up=False, reason="refused")
        both.on_trouble("claiming", OSError())

    asyncio.run(tell())
    assert len(noting.changes) == len(noting.troubles) == 1
    assert noting.providers == [(Channel.EMAIL, False, "refused")]
    assert len(bugs) == 3
