"""The relay: where e-mail is handed over, and how the way there is protected."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

IMPLICIT_TLS_PORT: Final = 465
"""The port on which TLS begins with the first byte (RFC 8314 3.3)."""


class TlsMode(Enum):
    """How a connection to the relay is encrypted. Certificates are verified in every mode.

    `AUTO` is `IMPLICIT` on port 465, elsewhere STARTTLS when the relay offers it. `STARTTLS`
    requires the relay to offer it. `IMPLICIT` begins with TLS. `OFF` never encrypts.
    """

    AUTO = "auto"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    OFF = "off"


@dataclass(frozen=True)
class SmtpRelay:
    """An SMTP server that takes our messages, and what it wants to know of us.

    Attributes:
        username: log in with this name and `password`; no login if absent. They are never sent
            unencrypted, unless the connection ends on this very machine.
        ca_file: trust the certificate authorities in this PEM file instead of the system's.
    """

    host: str
    port: int = 587
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsMode = TlsMode.AUTO
    ca_file: Path | None = None

    @property
    def begins_with_tls(self) -> bool:
        """Whether TLS begins with the first byte."""
        automatic = self.tls is TlsMode.AUTO and self.port == IMPLICIT_TLS_PORT
        return automatic or self.tls is TlsMode.IMPLICIT

    @property
    def secrets(self) -> tuple[str, ...]:
        """What we say when we log in, in the forms in which the relay may repeat it."""
        if self.username is None:
            return ()
        name, password = self.username, self.password or ""
        said = (name, password, f"\0{name}\0{password}")
        return (
            name,
            password,
            *(base64.b64encode(part.encode(errors="replace")).decode() for part in said),
        )
