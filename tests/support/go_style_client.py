"""A client of the Go service, on grpcio: a process of its own, run with a target and a token.

It sends an e-mail and an SMS, polls both until they are SENT, repeats a call with a key in its
metadata, tries what must fail, and prints what it saw as one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

# By name: mypy takes the folder of our own tests for the first, and has no types for the second.
grpc: Any = import_module("grpc")
protoc: Any = import_module("grpc_tools.protoc")

PATIENCE = 20


def compiled(folder: str) -> tuple[Any, Any]:
    """Make stubs from go_style.proto, as such a client's build does."""
    here = Path(__file__).parent
    include = str(Path(protoc.__file__).parent / "_proto")
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", f"-I{here}", f"-I{include}", *outputs, "go_style.proto"]):
        raise SystemExit("protoc failed")
    sys.path.insert(0, folder)
    return import_module("go_style_pb2"), import_module("go_style_pb2_grpc")


def seen(response: Any) -> dict[str, Any]:
    return {field.name: str(value) for field, value in response.ListFields()}


def until_sent(ask: Any, response: Any) -> Any:
    """Poll as those clients do; the server wakes on its own, so few rounds are needed."""
    deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE)
    while response.status not in (1, 2) and datetime.now(UTC) < deadline:
        response = ask(response.notification_id)
    return response


def refusal(call: Any) -> list[str]:
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


def main(target: str, token: str) -> None:
    with tempfile.TemporaryDirectory() as folder, grpc.insecure_channel(target) as channel:
        pb, pb_grpc = compiled(folder)
        stub = pb_grpc.NotificationServiceStub(channel)
        authorised = [("authorization", f"Bearer {token}")]
        known = {"metadata": authorised, "timeout": PATIENCE}

        def ask(id: str) -> Any:
            return stub.GetNotificationStatus(
                pb.GetNotificationStatusRequest(notification_id=id), **known
            )

        mail = pb.NotificationRequest(
            notification_type=pb.EMAIL, recipient="ada@example.com", subject="Hello", message="Hi"
        )
        text = pb.NotificationRequest(
            notification_type=pb.SMS, recipient="+15550100123", message="Hi"
        )
        later = pb.NotificationRequest(recipient="ada@example.com", message="Later")
        later.scheduled_time.FromJsonString("2040-01-01T09:00:00Z")
        answers = {
            name: stub.SendNotification(request, **known)
            for name, request in {"mail": mail, "text": text, "later": later}.items()
        }
        once = {**known, "metadata": [*authorised, ("idempotency-key", "order-42")]}
        repeated = [stub.SendNotification(mail, **once).notification_id for _ in range(2)]
        sent = {name: until_sent(ask, answers[name]) for name in ("mail", "text")}
        result = {
            "queued": {name: seen(answer) for name, answer in answers.items()},
            "sent": {name: seen(answer) for name, answer in sent.items()},
            "repeated": repeated,
            "later": answers["later"].scheduled_time.ToJsonString(),
            "unknown": refusal(lambda: ask("notif-404")),
            "stranger": refusal(lambda: stub.SendNotification(mail, timeout=PATIENCE)),
            "bad": refusal(lambda: stub.SendNotification(pb.NotificationRequest(), **known)),
            "missing": refusal(
                lambda: channel.unary_unary("/pinguin.NotificationService/Nonsense")(b"", **known)
            ),
        }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
