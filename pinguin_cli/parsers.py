"""From the text of one setting to its value; what cannot be one raises `ValueError`.

Every text says what would be right, and never quotes what was given: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from pinguin_cli import service_links
from pinguin_core import EmailAddress, InvalidValue, PhoneNumber, SmsRules

_FLAGS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})"
)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_LONGEST_LABEL: Final = 63
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNFIT_FOR_URL = re.compile("[\x00-\x1f\x7f-\x9f?%]")
_SERVER_URL = re.compile(r"postgres(ql)?(\+psycopg)?://|(mysql|mariadb)(\+pymysql)?://")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, written `localhost:50051` or `[::1]:50051`."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Nobody outside this machine can listen in."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen_address(text: str) -> Address:
    """Read where to listen; port 0 stands for any free one."""
    address = _address(text)
    if address is None:
        raise ValueError(
            "must be host:port with a port up to 65535, as in localhost:50051 or [::1]:50051, "
            "or 0.0.0.0:50051 for all interfaces"
        )
    return address


def server_address(text: str) -> Address:
    """Read where to connect."""
    address = _address(text)
    if address is None or address.port == 0:
        raise ValueError("must be host:port with a port from 1 to 65535, as in localhost:50051")
    return address


def host(text: str) -> str:
    """Read the name or number of a host, without a port."""
    if not _is_host_name(text) and not _is_ip_address(text):
        raise ValueError("must be a host name without scheme or port, as in smtp.example.com")
    return text


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Make a parser for whole numbers within bounds."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not lowest <= int(text) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def port(text: str) -> int:
    """Read a port to connect to."""
    if service_links.is_address(text):
        raise ValueError(f"must be a whole number from 1 to 65535; {service_links.REMEDY}")
    return whole_number(1, 65535)(text)


def seconds(highest: int) -> Callable[[str], timedelta]:
    """Make a parser for durations of more than zero and at most so many seconds."""

    def parse(text: str) -> timedelta:
        duration = timedelta(seconds=float(text) if _DECIMAL.fullmatch(text) else 0)
        if not timedelta(0) < duration <= timedelta(seconds=highest):
            raise ValueError(f"must be a number of seconds, more than 0 and at most {highest}")
        return duration

    return parse


def rate(highest: int) -> Callable[[str], float]:
    """Make a parser for how often a second something may happen, up to so often."""

    def parse(text: str) -> float:
        number = float(text) if _DECIMAL.fullmatch(text) else 0
        if not 0 < number <= highest:
            raise ValueError(f"must be a number, more than 0 and at most {highest}")
        return number

    return parse


def one_of(*choices: str, **synonyms: str) -> Callable[[str], str]:
    """Make a parser for words of which case does not matter."""

    def parse(text: str) -> str:
        matches = {choice.lower(): choice for choice in choices} | synonyms
        if text.lower() not in matches:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return matches[text.lower()]

    return parse


def flag(text: str) -> bool:
    """Read yes or no."""
    if text.lower() not in _FLAGS:
        raise ValueError("must be 1 or 0")
    return _FLAGS[text.lower()]


def tokens(text: str) -> tuple[SecretStr, ...]:
    """Read bearer tokens, comma-separated; white space around the commas does not matter."""
    found = [token.strip() for token in text.split(",")]
    if not all(_VISIBLE_ASCII.fullmatch(token) for token in found):
        raise ValueError(
            "must be one token or several, comma-separated, none of them empty, "
            "each of visible ASCII characters without spaces"
        )
    return tuple(map(SecretStr, found))


def secret(text: str) -> SecretStr:
    """Read a password."""
    return SecretStr(line(text))


def line(text: str) -> str:
    """Read any text of one line."""
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text


def account_sid(text: str) -> str:
    """Read a Twilio account's name, which becomes part of an address."""
    if not text.isascii() or not text.isalnum():
        raise ValueError("must be letters and digits only, as Twilio's console shows it")
    return text


def email_address(text: str) -> EmailAddress:
    """Read one e-mail address."""
    try:
        return EmailAddress(text)
    except InvalidValue as error:
        raise ValueError(error.problem) from None


def phone_number(text: str) -> PhoneNumber:
    """Read one telephone number."""
    try:
        return PhoneNumber(text)
    except InvalidValue as error:
        raise ValueError(error.problem) from None


def number_prefixes(text: str) -> tuple[str, ...]:
    """Read how telephone numbers may begin, comma-separated."""
    prefixes = tuple(prefix.strip() for prefix in text.split(","))
    try:
        SmsRules(allowed_prefixes=prefixes)
    except InvalidValue as error:
        raise ValueError(error.problem) from None
    return prefixes


def base_url(text: str) -> str:
    """Read the address of an HTTP service; in clear text only on this machine."""
    try:
        url = urlsplit(text)
        port_is_right = url.port != 0  # reading it raises for what is no port
        (url.hostname or "").encode("idna")  # as this does for what is no host's name
    except ValueError:
        url, port_is_right = urlsplit(""), False
    in_clear = url.scheme == "http" and is_loopback(url.hostname or "")
    rest = url.query or url.fragment or url.username or url.password or _CONTROL.search(text)
    if not (url.hostname and port_is_right and (url.scheme == "https" or in_clear)) or rest:
        raise ValueError(
            "must be an https:// address without query or password, as in https://api.twilio.com; "
            "http:// only to this machine"
        )
    return text.rstrip("/")


def readable_file(text: str) -> Path:
    """Read the path of a file that must be there."""
    try:
        with Path(text).open("rb"):
            return Path(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ValueError(f"must be a file that can be read: {reason}") from None


def authorities(text: str) -> Path:
    """Read the path of a file of certificate authorities to trust."""
    path = readable_file(text)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError("must be a file of certificates in PEM form") from None
    return path


def database_path(text: str) -> Path:
    """Read the path of the SQLite file.

    In its URL a `?` would begin the options, and `%41` be an `A` to some versions of SQLAlchemy.
    """
    if _UNFIT_FOR_URL.search(text) or text.endswith("/") or Path(text).is_dir():
        raise ValueError(
            "must be the path of a file, without '?' and '%', as in /var/lib/pinguin.db"
        )
    return Path(text)


def database_url(text: str) -> SecretStr:
    """Read the address of a supported database, which may hold a password."""
    if _SERVER_URL.match(text):
        return SecretStr(_server_url(text))
    scheme, separator, path = text.partition(":///")
    if scheme != "sqlite" or not separator:
        raise ValueError(
            "must begin with sqlite:///, postgresql://, mysql:// or mariadb://, "
            "as in postgresql://user:password@db.example.com/pinguin"
        )
    if path in {"", ":memory:"}:
        raise ValueError("must name a file, as in sqlite:////var/lib/pinguin/pinguin.db")
    return SecretStr(f"sqlite:///{database_path(path)}")


def without_secrets(url: str) -> str:
    """Return the address of a database without its login and options."""
    if not _SERVER_URL.match(url):
        return url
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _server_url(text: str) -> str:
    try:
        parts = urlsplit(line(text))
        is_whole = parts.port != 0 and len(parts.path) > 1
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(
            "must name server and database, as in postgresql://user:password@db.example.com/pinguin"
            " (in a password, write %40 for @, %2F for /, %3A for : and %25 for %)"
        )
    return text


def _address(text: str) -> Address | None:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004 (the highest port)
        return None
    port = int(match["port"])
    if match["v6"]:
        return Address(str(_ip_version_6(match["v6"])), port)
    return Address(match["name"], port) if _is_host_name(match["name"]) else None


def _is_host_name(text: str) -> bool:
    """Tell whether a name can be looked up: Python's `idna` codec refuses other labels."""
    labels = text.removesuffix(".").split(".")
    return bool(_HOST.fullmatch(text)) and all(0 < len(each) <= _LONGEST_LABEL for each in labels)


def _ip_version_6(text: str) -> ipaddress.IPv6Address:
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("must have an IPv6 address between [ and ], as in [::1]:50051") from None


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
