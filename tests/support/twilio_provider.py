"""Twilio's Messages API, as the provider of the sender contract."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final, Self

from aiohttp import web
from support.scripted_twilio import SID
from support.tcp_proxy import TcpProxy

from pinguin_core.testing.contracts import Arrival, Behaviour

_PATH: Final = "/2010-04-01/Accounts/{sid}/Messages.json"
_REFUSALS: Final = {Behaviour.REFUSE: (400, 21211), Behaviour.BE_BUSY: (429, 20429)}

_PIECE: Final = 31  # bytes; every reply is longer


class TwilioProvider:
    """Takes SMS, or behaves as it is told; its refusals repeat number, text and parts of them."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
        self._resources: list[dict[str, str]] = []
        self._behaviour = Behaviour.ACCEPT
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def behave(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        await self._runner.cleanup()
        if behaviour is not Behaviour.BE_UNREACHABLE:
            await self._listen()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post(_PATH, self._create)
        app.router.add_get(_PATH, self._list)
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def _create(self, request: web.Request) -> web.Response:
        form: dict[str, Any] = dict(await request.post())
        if (trouble := await self._trouble(form["To"], form["Body"])) is not None:
            return trouble
        self.arrived.append(Arrival(form["To"], form.get("Subject", ""), form["Body"]))
        resource = {
            "sid": f"{SID[:-6]}{len(self.arrived):06}",
            "to": form["To"],
            "from": form["From"],
            "body": form["Body"],
            "date_created": format_datetime(datetime.now(UTC)),
        }
        self._resources.insert(0, resource)
        if self._behaviour is Behaviour.LOSE_ANSWERS:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(resource, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        to, sender = request.query["To"], request.query["From"]
        if (trouble := await self._trouble(to)) is not None:
            return trouble
        # As if its filters were broken: that is the worst that a sender may meet.
        return web.json_response({"messages": self._resources, "asked": [to, sender]})

    async def _trouble(self, *repeated: str) -> web.Response | None:
        if self._behaviour is Behaviour.HANG:
            await asyncio.Event().wait()
        if self._behaviour not in _REFUSALS:
            return None
        status, code = _REFUSALS[self._behaviour]
        words = " ".join([*repeated, *(each[:-2] for each in repeated)])
        message = f"The 'To' number is not taken: {words}"
        return web.json_response({"code": code, "message": message}, status=status)


class DistantTwilioProvider(TwilioProvider):
    """The same at the end of a bad way, which is what hangs and cannot be reached.

    The way is a proxy, which passes on a few bytes of its replies at a time.
    """

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._way.port}"

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._way = TcpProxy("127.0.0.1", self._port, piece=_PIECE)
        await self._way.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._way.close()
        await super().__aexit__(*exc)

    async def behave(self, behaviour: Behaviour) -> None:
        await self._way.close()
        if behaviour in {Behaviour.HANG, Behaviour.BE_UNREACHABLE}:
            await super().behave(Behaviour.ACCEPT)
        else:
            await super().behave(behaviour)
        if behaviour is not Behaviour.BE_UNREACHABLE:
            await self._way.open()
        if behaviour is Behaviour.HANG:
            self._way.hold()
