"""What must hold among the settings, as opposed to each by itself.

A rule looks at the texts that were given, so that it can be checked even while some of them are
bad by themselves, and one start shows every problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from pinguin_cli import parsers, service_links

Given = Mapping[str, str]
"""Settings by name; those that were not set or are empty are absent."""

Rule = Callable[[Given], Iterable[str]]
"""Yields a line for each problem."""

SMS_SETTINGS: Final = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM_NUMBER")
"""What SMS needs, all of it."""


def needs(name: str, other: str) -> Rule:
    """Make the rule that a setting is worth nothing without another."""

    def rule(given: Given) -> Iterable[str]:
        if name in given and other not in given:
            yield f"{other}: is required, because {name} is set"

    return rule


def token_is_given(given: Given) -> Iterable[str]:
    """Nothing is open to everybody."""
    if not {"NOTIFICATION_AUTH_TOKEN", "GRPC_AUTH_TOKEN"} & given.keys():
        yield (
            "NOTIFICATION_AUTH_TOKEN: is required: the secret that clients and service share, "
            "for example from `openssl rand -hex 32`"
        )


def tokens_agree(given: Given) -> Iterable[str]:
    """No forgotten token stays valid under the setting's other name."""
    both = {given.get("NOTIFICATION_AUTH_TOKEN"), given.get("GRPC_AUTH_TOKEN")}
    if len(both - {None}) > 1:
        yield (
            "NOTIFICATION_AUTH_TOKEN: differs from GRPC_AUTH_TOKEN, its other name; set one of "
            "them, with several tokens comma-separated"
        )


def some_channel_is_configured(given: Given) -> Iterable[str]:
    """Whoever starts a service that can send nothing is told so."""
    if "SMTP_HOST" not in given and not given.keys() >= set(SMS_SETTINGS):
        yield (
            "SMTP_HOST: neither e-mail nor SMS is configured; set SMTP_HOST and FROM_EMAIL, or "
            f"{', '.join(SMS_SETTINGS)}, or try without a provider: pinguin serve --sandbox"
        )


def plaintext_stays_here(given: Given) -> Iterable[str]:
    """Tokens and messages cross no network in the clear, unless somebody says that it is safe."""
    if "GRPC_TLS_CERT_FILE" in given or _allows_plaintext(given):
        return
    try:
        address = parsers.listen_address(given.get("GRPC_LISTEN_ADDR", "localhost:0"))
    except ValueError:
        return  # a problem of its own
    if not address.is_loopback:
        yield (
            "GRPC_LISTEN_ADDR: other machines would connect without TLS; set GRPC_TLS_CERT_FILE "
            "and GRPC_TLS_KEY_FILE, or GRPC_ALLOW_PLAINTEXT=1 if the network is safe"
        )


def password_stays_secret(relay: str) -> Rule:
    """Make the rule that no credentials for a relay cross a network in the clear.

    Args:
        relay: what the names of its settings begin with.
    """

    def rule(given: Given) -> Iterable[str]:
        off = given.get(f"{relay}_TLS", "").lower() == "off"
        elsewhere = not parsers.is_loopback(given.get(f"{relay}_HOST", ""))
        if off and elsewhere and f"{relay}_PASSWORD" in given:
            yield (
                f"{relay}_TLS: off would send {relay}_PASSWORD in the clear; "
                "set starttls or implicit, or leave the password out"
            )

    return rule


def fallback_has_a_host(given: Given) -> Iterable[str]:
    """Nobody counts on a second relay of which only the rest is set."""
    rest = sorted(
        name
        for name, value in given.items()
        if name.startswith("SMTP_FALLBACK_") and not service_links.is_link(name, value)
    )
    if rest and "SMTP_FALLBACK_HOST" not in given:
        yield f"SMTP_FALLBACK_HOST: is required, because {rest[0]} is set"


def _allows_plaintext(given: Given) -> bool:
    try:
        return parsers.flag(given.get("GRPC_ALLOW_PLAINTEXT", "0"))
    except ValueError:
        return True  # a problem of its own


SERVER: Final[tuple[Rule, ...]] = (
    tokens_agree,
    needs("GRPC_TLS_CERT_FILE", "GRPC_TLS_KEY_FILE"),
    needs("GRPC_TLS_KEY_FILE", "GRPC_TLS_CERT_FILE"),
    needs("GRPC_TLS_CLIENT_CA_FILE", "GRPC_TLS_CERT_FILE"),
    needs("SMTP_HOST", "FROM_EMAIL"),
    needs("SMTP_USERNAME", "SMTP_PASSWORD"),
    needs("SMTP_PASSWORD", "SMTP_USERNAME"),
    password_stays_secret("SMTP"),
    needs("SMTP_FALLBACK_HOST", "SMTP_HOST"),
    fallback_has_a_host,
    needs("SMTP_FALLBACK_USERNAME", "SMTP_FALLBACK_PASSWORD"),
    needs("SMTP_FALLBACK_PASSWORD", "SMTP_FALLBACK_USERNAME"),
    password_stays_secret("SMTP_FALLBACK"),
    plaintext_stays_here,
)
CLIENT: Final[tuple[Rule, ...]] = (
    tokens_agree,
    token_is_given,
    needs("GRPC_CLIENT_CERT_FILE", "GRPC_CLIENT_KEY_FILE"),
    needs("GRPC_CLIENT_KEY_FILE", "GRPC_CLIENT_CERT_FILE"),
)
