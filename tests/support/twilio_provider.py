"""Twilio's Messages API, as the provider of the sender contract."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from aiohttp import web
from support.scripted_twilio import SID

from pinguin_core.testing.contracts import Arrival, Behaviour

_REFUSALS: Final = {Behaviour.REFUSE: (400, 21211), Behaviour.BE_BUSY: (429, 20429)}


class TwilioProvider:
    """Takes SMS, or behaves as it is told; its refusals repeat the recipient's number."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
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
        app.router.add_post("/2010-04-01/Accounts/{sid}/Messages.json", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.Response:
        form: dict[str, Any] = dict(await request.post())
        if self._behaviour is Behaviour.HANG:
            await asyncio.Event().wait()
        if self._behaviour in _REFUSALS:
            status, code = _REFUSALS[self._behaviour]
            message = f"The 'To' number {form['To']} is not taken: {form['Body']}"
            return web.json_response({"code": code, "message": message}, status=status)
        self.arrived.append(Arrival(form["To"], form.get("Subject", ""), form["Body"]))
        return web.json_response({"sid": f"{SID[:-6]}{len(self.arrived):06}"}, status=201)
