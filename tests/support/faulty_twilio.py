"""Twilio's Messages API on loopback, as bad as it can be by chance; it counts what it takes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final, Self

from aiohttp import web

_PATH: Final = "/2010-04-01/Accounts/{sid}/Messages.json"
_MOST_LISTED: Final = 50  # messages in a page, whatever is asked for
_FAULTS: Final = {
    "none": 70,
    "too many requests": 6,
    "503 before": 6,
    "503 after": 6,
    "lost before": 6,
    "lost after": 6,
}
"""What befalls a request, before or after it is done, and how often of a hundred."""


class FaultyTwilio:
    """Takes messages, and lists them.

    Attributes:
        taken: how often it took each text.
        befell: how often a request met with each fault.
    """

    def __init__(self, chance: random.Random) -> None:
        self.taken: Counter[str] = Counter()
        self.befell: Counter[str] = Counter()
        self._chance = chance
        self._messages: list[dict[str, Any]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post(_PATH, self._create)
        app.router.add_get(_PATH, self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _create(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}

        def take() -> web.Response:
            self.taken[form["Body"]] += 1
            message = {
                "sid": f"SM{len(self._messages):032x}",
                "to": form["To"],
                "from": form["From"],
                "body": form["Body"],
                "date_created": format_datetime(datetime.now(UTC)),
            }
            self._messages.append(message)
            return web.json_response(message, status=201)

        return self._amid_faults(request, take)

    async def _list(self, request: web.Request) -> web.Response:
        def tell() -> web.Response:
            to = request.query["To"]
            found = [message for message in reversed(self._messages) if message["to"] == to]
            first = int(request.query.get("Page", "0")) * _MOST_LISTED
            page, more = found[first : first + _MOST_LISTED], found[first + _MOST_LISTED :]
            following = request.rel_url.update_query(Page=first // _MOST_LISTED + 1)
            return web.json_response(
                {"messages": page, "next_page_uri": str(following) if more else None}
            )

        return self._amid_faults(request, tell)

    def _amid_faults(self, request: web.Request, do: Callable[[], web.Response]) -> web.Response:
        [fault] = self._chance.choices(list(_FAULTS), list(_FAULTS.values()))
        self.befell[fault] += 1
        if fault == "too many requests":
            wait = self._chance.choice(["0", "1", format_datetime(datetime.now(UTC), usegmt=True)])
            return web.json_response({"code": 20429}, status=429, headers={"Retry-After": wait})
        answer = do() if fault in {"none", "503 after", "lost after"} else None
        if fault.startswith("503"):
            return web.json_response({"code": 20503}, status=503)
        if fault.startswith("lost"):
            assert request.transport is not None
            request.transport.abort()
        return answer or web.Response(status=500)
