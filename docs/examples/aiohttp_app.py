"""A web application that welcomes whoever signs up: `curl -d address=… localhost:8080/members`."""

import os
from collections.abc import AsyncIterator

from aiohttp import web

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    InvalidValue,
    NotificationId,
    NotificationNotFound,
    NotificationService,
)

RELAY = SmtpRelay(os.environ["SMTP_HOST"], int(os.environ.get("SMTP_PORT", "587")))
FROM = EmailAddress("hello@example.com")
SERVICE = web.AppKey("service", NotificationService)


async def pinguin(app: web.Application) -> AsyncIterator[None]:
    """Deliver from the application's start to its end."""
    async with (
        SqlModelNotificationRepository.open("sqlite:///notifications.db") as store,
        SmtpSender(RELAY, from_address=FROM) as sender,
        Dispatcher(store, email=sender) as dispatcher,
    ):
        app[SERVICE] = NotificationService(store, on_queued=dispatcher.wake)
        yield


async def sign_up(request: web.Request) -> web.Response:
    """Answer once the welcome is stored; whether the relay is there does not matter."""
    form = await request.post()
    try:
        address = EmailAddress(str(form.get("address", "")))
    except InvalidValue as error:
        return web.Response(status=400, text=f"Your address {error.problem}\n")
    welcome = Email(address, "Welcome", "Good to have you.")
    queued = await request.app[SERVICE].send(welcome)
    return web.Response(status=202, text=f"{queued.id}\n")


async def welcome_state(request: web.Request) -> web.Response:
    """Say what became of a welcome."""
    try:
        name = NotificationId(request.match_info["id"])
        notification = await request.app[SERVICE].get(name)
    except (InvalidValue, NotificationNotFound) as error:
        return web.Response(status=404, text=f"{error}\n")
    return web.Response(text=f"{type(notification.state).__name__}\n")


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(pinguin)
    app.add_routes([web.post("/members", sign_up), web.get("/welcomes/{id}", welcome_state)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="localhost", port=8080)
