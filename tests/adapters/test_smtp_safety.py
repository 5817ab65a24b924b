"""Whatever callers hand over: one message, to one recipient, with our header fields, and intact."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.header import decode_header, make_header
from typing import Final, Protocol, Self

import pytest
from aiosmtpd import smtp as aiosmtpd
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.mailing import FROM, send
from support.scripted_smtp import LAX, ScriptedSmtp

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, mime
from pinguin_core import Email, EmailAddress, InvalidValue, PermanentDeliveryError

FIELDS: Final = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
SMUGGLED: Final = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nsmuggled"
DOTS: Final = ["\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r\n.\r", "\r.\r\n", "\r\n.\r\n", "\r.\n"]
HOSTILE: Final = [
    "\r\nBcc: eve@example.com",
    "\nBcc: eve@example.com",
    "\r\n\r\nanother body",
    "\u2028Bcc: eve@example.com",
    "\x85Bcc: eve@example.com",
    "=?UTF-8?Q?x=0D=0ABcc:_eve@example.com?=",
    "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=",
    *("\0", "\x1b[2J", "\ud800", "\t", "\x7f", "\ufeff", "\u202e"),
    *(", eve@example.com", "; eve@example.com", "> NOTIFY=SUCCESS", "<eve@example.com>"),
    *("eve@example.com,", "Ada <ada@example.com>", '"a b"@example.com', "(eve)", "@", "\n"),
]
WORDS: Final = [*HOSTILE, *DOTS, "ada@example.com", "bücher.example", "Grüße", ".", "..", " ", "a"]
TEXT: Final = st.lists(st.sampled_from(WORDS) | st.text(max_size=20), max_size=3).map("".join)
RECIPIENTS: Final = st.one_of(
    st.sampled_from(
        ["ada@example.com", "ada@bücher.example", "zoë@bücher.example", "用户@example.com"]
    ),
    st.builds("{}{}".format, st.just("ada@example.com"), TEXT),
    st.builds("{}@{}".format, TEXT, st.sampled_from(["example.com", "bücher.example"])),
    TEXT,
)
GOOD: Final = {"recipient": "ada@example.com", "subject": "Hi", "body": "Hello"}
LONG: Final = st.sampled_from(["a" * 999, ".\r\n" * 400, "é" * 600, "=?" * 499, " " * 998 + "."])


@dataclass(frozen=True)
class Taken:
    """One message as a server saw it."""

    recipients: list[str]
    content: bytes


class Server(Protocol):
    """A server that a test looks into."""

    port: int

    @property
    def taken(self) -> Sequence[Taken]:
        """All messages that it took."""
        ...


class LaxServer(ScriptedSmtp):
    """Takes a dot between line ends of any kind for the end of a message."""

    def __init__(self) -> None:
        super().__init__(extensions=("PIPELINING", "SIZE", "SMTPUTF8"), end_of_data=LAX)

    @property
    def taken(self) -> Sequence[Taken]:
        return [Taken([message.recipient], message.content) for message in self.messages]


class StrictServer:
    """aiosmtpd, which somebody else wrote: it refuses bare line ends and much else."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: aiosmtpd.SMTP(self, hostname="strict", loop=loop, enable_SMTPUTF8=True),
            "127.0.0.1",
            0,
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: aiosmtpd.SMTP, session: aiosmtpd.Session, envelope: aiosmtpd.Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(Taken(list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 taken"


@dataclass(frozen=True)
class Post:
    """A sender at work, and the server that it hands its messages to."""

    runner: asyncio.Runner
    sender: SmtpSender
    server: Server

    def send(self, message: Email) -> Taken:
        """Send one message; return the one that arrived."""
        before = len(self.server.taken)
        self.runner.run(send(self.sender, message))
        (taken,) = self.server.taken[before:]
        return taken


@contextmanager
def post_with(server: LaxServer | StrictServer) -> Iterator[Post]:
    @asynccontextmanager
    async def at_work() -> AsyncIterator[SmtpSender]:
        async with server:
            relay = SmtpRelay("127.0.0.1", server.port)
            async with SmtpSender(relay, from_address=FROM) as sender:
                yield sender

    with asyncio.Runner() as runner:
        working = at_work()
        sender = runner.run(working.__aenter__())
        try:
            yield Post(runner, sender, server)
        finally:
            runner.run(working.__aexit__(None, None, None))


@pytest.fixture(scope="module", params=[LaxServer, StrictServer])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    with post_with(request.param()) as post:
        yield post


def normalised(body: str) -> bytes:
    lines = re.split("\r\n|\r|\n", body)
    return "\r\n".join(lines if not lines[-1] else [*lines, ""]).encode()


def check(taken: Taken, message: Email) -> None:
    """One recipient, our header fields in our order and no others, all as it was written."""
    assert taken.recipients == [mime.wire_address(message.to)]
    header, _, _ = taken.content.partition(b"\r\n\r\n")
    unfolded = re.sub(rb"\r\n[ \t]", b" ", header).split(b"\r\n")
    assert [line.partition(b":")[0].decode() for line in unfolded] == FIELDS
    parsed = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert not parsed.defects
    assert parsed["Subject"] == message.subject
    assert f"To: {taken.recipients[0]}".encode() in unfolded
    if taken.recipients[0].isascii():
        (to,) = parsed["To"].addresses
        assert (to.display_name, f"{to.username}@{to.domain}") == ("", taken.recipients[0])
    plain = email.message_from_bytes(taken.content)
    assert str(make_header(decode_header(plain["Subject"]))) == message.subject
    assert plain.get_payload(decode=True) == normalised(message.body)


def made(recipient: str, subject: str, body: str) -> Email | str:
    """The e-mail; or the field that is named by who refuses to make it."""
    try:
        return Email(EmailAddress(recipient), subject, body)
    except InvalidValue as error:
        return {"email_address": "recipient"}.get(error.field, error.field)


def has_a_domain(address: EmailAddress) -> bool:
    try:
        mime.wire_address(address)
    except InvalidValue:
        return False
    return True


def accepted(field: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return values.filter(lambda value: isinstance(made(**{**GOOD, field: value}), Email))


def test_what_is_accepted_arrives_as_it_is(post: Post) -> None:
    @given(
        recipient=accepted("recipient", RECIPIENTS),
        subject=accepted("subject", TEXT | LONG),
        body=accepted("body", TEXT | LONG),
    )
    @example("ada@example.com", "=?UTF-8?Q?x=0D=0ABcc:_a@b?=", "Hello")
    @example("=?utf-8?q?=@example.com", "", ".")
    @example("ü" * 32 + "@bücher.example", "Grüße", "Schön")
    @example("ada@①⑴.example", "Hi", "Hello")
    @settings(deadline=None)
    def holds(recipient: str, subject: str, body: str) -> None:
        message = Email(EmailAddress(recipient), subject, body)
        if has_a_domain(message.to):
            check(post.send(message), message)
        else:
            with pytest.raises(PermanentDeliveryError, match="internationalised domain"):
                post.send(message)

    holds()


@given(recipient=RECIPIENTS, subject=TEXT | LONG, body=TEXT | LONG)
@example("a@b, c@d", "Hi", "Hello")
@example("=?utf-8?q?a=2C_b=40c?=@example.com", "Hi", "Hello")
@example("ada@example.com\n", "Hi", "Hello")
@example("ada@example.com", "Hi\nBcc: eve@example.com", "Hello")
@example("ada@example.com", "Hi", "\ud800")
def test_what_is_refused_is_refused_for_the_field_that_is_named(
    recipient: str, subject: str, body: str
) -> None:
    values = {"recipient": recipient, "subject": subject, "body": body}
    refused = made(**values)
    if isinstance(refused, str):
        assert made(**{**GOOD, refused: values[refused]}) == refused


@pytest.mark.parametrize("end", DOTS)
@pytest.mark.parametrize("lead", ["", "before", "\r\n", "é"])
def test_nothing_is_smuggled(end: str, lead: str, post: Post) -> None:
    message = Email(EmailAddress("ada@example.com"), "Hi", f"{lead}{end}{SMUGGLED}{end}")
    check(post.send(message), message)
