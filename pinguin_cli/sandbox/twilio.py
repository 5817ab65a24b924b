"""A server on loopback that speaks as much of Twilio's Messages API as sending needs.

https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from pinguin_cli.parsers import Address
from pinguin_cli.sandbox.keeping import Folder

HOST: Final = "127.0.0.1"
_VERSION: Final = "2010-04-01"
_PAGE: Final = 1000
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_MISSING: Final = {
    "To": (21604, "A 'To' phone number is required."),
    "From": (21603, "A 'From' phone number is required."),
    "Body": (21602, "Message body is required."),
}
"""Form fields that must not be empty, each with Twilio's error code and text."""


class SandboxTwilio:
    """Serves the Messages API while its `async with` block runs, on a free port.

    Args:
        folder: where each message is kept, as a `.json` file of Twilio's message resource.
        account_sid: the account it knows.
        auth_token: that account's password.
    """

    def __init__(self, folder: Path, *, account_sid: str, auth_token: str) -> None:
        self.kept = Folder(folder, ".json")
        self._account_sid = account_sid
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode())
        self._authorization = b"Basic " + credentials

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(HOST, self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        self.kept.create()
        application = web.Application()
        path = f"/{_VERSION}/Accounts/{{sid}}/Messages.json"
        application.router.add_post(path, self._create)
        application.router.add_get(path, self._list)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _create(self, request: web.Request) -> web.Response:
        if not self._is_authorised(request):
            return _refusal(401, 20003, "Authenticate")
        form = {name: str(value) for name, value in (await request.post()).items()}
        for field, (code, text) in _MISSING.items():
            if not form.get(field):
                return _refusal(400, code, text)
        if not _E164.fullmatch(form["To"]):
            return _refusal(400, 21211, "Invalid 'To' Phone Number.")
        message = self._message(form)
        self.kept.keep(json.dumps(message, ensure_ascii=False, indent=2).encode())
        return web.json_response(message, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        if not self._is_authorised(request):
            return _refusal(401, 20003, "Authenticate")
        wanted = {field.lower(): request.query.get(field) for field in ("To", "From")}
        kept = (json.loads(file.read_bytes()) for file in reversed(self.kept.files()))
        messages = [
            message
            for message in kept
            if all(value in {None, message[field]} for field, value in wanted.items())
        ]
        return web.json_response({"messages": messages[:_PAGE]})

    def _is_authorised(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode()
        return request.match_info["sid"] == self._account_sid and hmac.compare_digest(
            given, self._authorization
        )

    def _message(self, form: dict[str, str]) -> dict[str, object]:
        sid = f"SM{secrets.token_hex(16)}"
        now = format_datetime(datetime.now(UTC))
        return {
            "sid": sid,
            "account_sid": self._account_sid,
            "api_version": _VERSION,
            "from": form["From"],
            "to": form["To"],
            "body": form["Body"],
            "status": "queued",
            "direction": "outbound-api",
            "date_created": now,
            "date_updated": now,
            "date_sent": None,
            "num_segments": "1",
            "num_media": "0",
            "price": None,
            "price_unit": "USD",
            "error_code": None,
            "error_message": None,
            "uri": f"/{_VERSION}/Accounts/{self._account_sid}/Messages/{sid}.json",
        }


def _refusal(status: int, code: int, text: str) -> web.Response:
    problem = {
        "code": code,
        "message": text,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(problem, status=status)
