"""Making text fit for logs and error messages: addresses and numbers masked, one line, short."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_HIDDEN: Final = "•••"
_LOOKED_AT: Final = 1024
_MAYBE_CUT: Final = 256
_KEPT_DIGITS: Final = 4
_LEAST_HIDDEN_DIGITS: Final = 4

# Possessive and bounded quantifiers keep the search linear, whatever a provider may send.
_ADDRESS = re.compile(
    r"""(?:"[^"]*+"|(?<![^\s@<>()\[\],;:"])[^\s@<>()\[\],;:"]++)@[^\s@<>()\[\],;:"]*+"""
)
_NUMBER = re.compile(r"(?<!\w)\+?\(?[0-9](?:[ ()./-]{0,2}[0-9]){6,18}+(?!\w)")
_IP_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_UNPRINTABLE = re.compile("[\\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def mask_address(address: str) -> str:
    """Keep the first character and the domain of an e-mail address.

    >>> mask_address("sam@example.com")
    's•••@example.com'
    """
    local, at, domain = address.rpartition("@")
    return f"{local.lstrip(chr(34))[:1]}{_HIDDEN}{at}{domain}" if at else _HIDDEN


def mask_number(number: str) -> str:
    """Keep the plus sign, the first digit and, of a long enough number, the last four.

    >>> mask_number("+15550100123")
    '+1•••0123'
    """
    plus = "+" if number.startswith("+") else ""
    digits = "".join(char for char in number if char.isdecimal())
    hidden = len(digits) - 1 - _KEPT_DIGITS
    end = digits[-_KEPT_DIGITS:] if hidden >= _LEAST_HIDDEN_DIGITS else ""
    return f"{plus}{digits[:1]}{_HIDDEN}{end}"


def mask_text(text: str) -> str:
    """Mask everything in a text that looks like an e-mail address or a telephone number.

    >>> mask_text("<sam@example.com>: no such user; call +1 555 010 0123")
    '<s•••@example.com>: no such user; call +1•••0123'
    """
    text = _ADDRESS.sub(lambda match: mask_address(match[0]), text)
    return _NUMBER.sub(lambda match: _mask_unless_ip(match[0]), text)


def one_line(text: str) -> str:
    """Return the beginning of a provider's words, which is all that is looked at, on one line."""
    return _UNPRINTABLE.sub(" ", text[:_LOOKED_AT]).strip()


def scrub(text: str, hide: Iterable[str] = (), limit: int = 200) -> str:
    """Make a provider's words fit to be kept and shown: one line, masked, of bounded length.

    Args:
        text: what the provider said.
        hide: strings that must not be shown in any case, such as the recipient or a password.
        limit: the most characters to return.
    """
    line = mask_text(_hidden(one_line(text), hide))
    if len(text) > _LOOKED_AT:
        # Something private may have been cut in two there, and what is left of it not recognised.
        line = f"{line[:-_MAYBE_CUT]}…"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _hidden(text: str, secrets: Iterable[str]) -> str:
    folded = text.casefold()
    there = {secret for secret in map(one_line, secrets) if secret and secret.casefold() in folded}
    if not there:
        return text
    any_of_them = "|".join(map(re.escape, sorted(there, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{any_of_them})(?!\w)", _HIDDEN, text, flags=re.IGNORECASE)


def _mask_unless_ip(number: str) -> str:
    return number if _IP_ADDRESS.fullmatch(number) else mask_number(number)


def storable(text: str) -> str:
    """Replace what is no text to a database: NUL, and half a surrogate pair.

    An outcome that cannot be stored would be lost, and the message sent again.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "?")
