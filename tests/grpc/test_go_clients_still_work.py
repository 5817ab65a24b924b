"""A client built for the Go service works unchanged: grpcio, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.grpc_serving import SOON, TOKEN, run

from pinguin_core import Dispatcher, Email, NotificationService, Sms
from pinguin_core.testing.fakes import MemoryRepository, RecordingSender
from pinguin_grpc.server import GrpcServer

CLIENT = Path(__file__).parent.parent / "support" / "go_style_client.py"
FIELDS = {
    *("notification_id", "notification_type", "recipient", "subject", "message", "status"),
    *("provider_message_id", "retry_count", "created_at", "updated_at", "scheduled_time"),
}


async def conversation() -> dict[str, Any]:
    """Serve with a dispatcher that really delivers, and return what the client saw."""
    repository = MemoryRepository()
    dispatcher = Dispatcher(repository, email=RecordingSender[Email](), sms=RecordingSender[Sms]())
    server = GrpcServer(NotificationService(repository, on_queued=dispatcher.wake), tokens=[TOKEN])
    await server.start("127.0.0.1", 0)
    async with dispatcher:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CLIENT), f"127.0.0.1:{server.port}", TOKEN),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    await server.drain(SOON)
    result: dict[str, Any] = json.loads(out)
    return result


def test_a_client_of_the_go_service_sends_polls_and_is_refused_as_it_knows_it() -> None:
    before = datetime.now(UTC)
    seen = run(conversation())
    mail, text = seen["queued"]["mail"], seen["queued"]["text"]

    # QUEUED and EMAIL are 0, which proto3 does not put on the wire.
    assert mail.keys() == {
        *("notification_id", "recipient", "subject", "message", "created_at", "updated_at")
    }
    assert (mail["recipient"], mail["subject"], mail["message"]) == (
        *("ada@example.com", "Hello", "Hi"),
    )
    assert mail["notification_id"].startswith("notif-")
    assert text["notification_type"] == "1"
    created = datetime.fromisoformat(mail["created_at"])
    assert mail["created_at"].endswith("Z")
    assert before <= created <= datetime.now(UTC)
    assert seen["later"] == "2040-01-01T09:00:00Z"
    for name in ("mail", "text"):
        sent = seen["sent"][name]
        assert sent["status"] == "1"
        assert sent["provider_message_id"].startswith("fake-notif-")
        assert sent.keys() <= FIELDS, "the history of its attempts is stepped over"
        assert sent["created_at"] == seen["queued"][name]["created_at"] <= sent["updated_at"]
    first, again = seen["repeated"]
    assert first == again != mail["notification_id"]
    assert seen["unknown"][0] == "NOT_FOUND"
    assert seen["stranger"][0] == "UNAUTHENTICATED"
    assert seen["bad"][0] == "INVALID_ARGUMENT"
    assert "recipient: must not be empty" in seen["bad"][1]
    assert seen["missing"][0] == "UNIMPLEMENTED"
