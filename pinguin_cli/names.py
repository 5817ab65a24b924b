"""Names that look like settings and are none: misspelt, or another program's."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pinguin_cli import service_links

PREFIXES: Final = (
    "DATABASE_",
    "EMAIL_",
    "FROM_",
    "GRPC_",
    "NOTIFICATION_",
    "SMS_",
    "SMTP_",
    "TWILIO_",
)
"""How the names of settings begin that belong together."""

_SHARED: Final = "GRPC_"
"""Of these, how the names of another library's own variables begin, which are none of ours."""

_OURS: Final = "PINGUIN_"
_ALIKE: Final = 0.8  # lets MAX_RETRY pass for MAX_RETRIES, and MAX_CONNECTIONS be another's
_ALIKE_AFTER_PREFIX: Final = 0.66  # TSL for TLS and USER for USERNAME, and PORT for no PATH


def meant(name: str, settings: Collection[str]) -> str | None:
    """Return the setting that somebody who wrote this name probably meant, if there is one."""
    upper = name.upper()
    bare = upper.removeprefix(_OURS)
    if bare in settings:
        return bare
    if any(upper.endswith(f"_{setting}") for setting in settings):
        return None  # another program's setting of the same kind, as in TEST_DATABASE_URL
    prefix = next(filter(upper.startswith, PREFIXES), "")
    alike = difflib.get_close_matches(
        upper.removeprefix(prefix),
        [each.removeprefix(prefix) for each in sorted(settings) if each.startswith(prefix)],
        n=1,
        cutoff=_ALIKE_AFTER_PREFIX if prefix else _ALIKE,
    )
    return prefix + alike[0] if alike else None


def looks_like_one(name: str) -> bool:
    """Tell whether a name begins as only the names of settings do."""
    upper = name.upper()
    return upper.startswith(PREFIXES) and not upper.startswith(_SHARED)


def misspelt(
    environment: Mapping[str, str], known: Collection[str], missing: Collection[str]
) -> Iterator[str]:
    """Name the variables of which a setting was probably meant that is not there.

    Args:
        environment: all variables; those that are empty mean nothing.
        known: the names of all settings.
        missing: those that were not set, not even to nothing.
    """
    for name in _unknown(environment, known):
        setting = meant(name, known)
        if setting in missing:
            yield (
                f"{name}: is not a setting; did you mean {setting}? If it belongs to another "
                f"program, set {setting} as well, if only to nothing"
            )


def strangers(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """List the variables that are no settings but look like some."""
    return [
        name
        for name in _unknown(environment, known)
        if looks_like_one(name) or meant(name, known) is not None
    ]


def _unknown(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    return sorted(
        name
        for name, value in environment.items()
        if value and name not in known and not service_links.is_link(name, value)
    )
