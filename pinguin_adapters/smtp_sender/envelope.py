"""A message as SMTP carries it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pinguin_core.message import Email
from pinguin_core.quoting import Text, quotations


@dataclass(frozen=True)
class Envelope:
    """A message as SMTP carries it, and as it was before.

    Attributes:
        secrets: what else a relay may know and repeat: our login.
    """

    sender: str
    recipient: str
    content: bytes
    email: Email
    secrets: tuple[str, ...] = ()

    def private(self, said: str) -> Iterator[str]:
        """Yield what a relay's words must not reveal, should the relay repeat it."""
        recipient = self.email.to.value
        yield from self.secrets
        yield from (recipient, self.recipient, recipient.rpartition("@")[0])
        yield from quotations(said, self._texts)

    @cached_property
    def _texts(self) -> tuple[Text, ...]:
        texts = [self.email.subject, self.email.body]
        header, _, body = self.content.partition(b"\r\n\r\n")
        if not header.endswith(b"7bit"):
            texts.append(body.decode())
        return tuple(map(Text, texts))
