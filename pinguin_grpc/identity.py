"""The certificate that one side of TLS shows, and the key with which it proves that it may."""

from __future__ import annotations

import ssl
from pathlib import Path

from pinguin_core.errors import PinguinError


class EncryptedKey(PinguinError):
    """A key that needs a passphrase, which nobody is there to type."""

    def __init__(self) -> None:
        super().__init__("is encrypted; use a key without a passphrase")


def load_identity(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Have a certificate shown, with those that follow it in its file.

    Args:
        context: what TLS is done with.
        certificate: its file in PEM form.
        key: the same; without it, the certificate's file holds the key too.

    Raises:
        EncryptedKey: instead of asking at the terminal, as OpenSSL would.
        OSError: if a file cannot be read, or (`ssl.SSLError`) is not what it should be.
    """
    context.load_cert_chain(certificate, key, _refuse)


def _refuse() -> str:
    raise EncryptedKey
