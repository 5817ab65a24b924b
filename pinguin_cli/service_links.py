"""What Kubernetes sets in each container for each Service: variables that nobody asked for.

For a Service called `smtp` these are `SMTP_SERVICE_HOST`, `SMTP_PORT` and more
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""

from __future__ import annotations

import re
from typing import Final

REMEDY: Final = (
    "this is the address of a Kubernetes Service that is named like it: set enableServiceLinks: "
    "false in the pod's spec, rename the Service, or set the port itself"
)
"""What to do where one has the name of a setting."""

_NAME = re.compile(
    r".+_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)"
    r"|.+_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?"
)
_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://.+")


def is_link(name: str, value: str) -> bool:
    """Tell whether a variable is one of them."""
    return bool(_NAME.fullmatch(name)) or (name.endswith("_PORT") and is_address(value))


def is_address(value: str) -> bool:
    """Tell whether a value is what they have under a name that ends in `_PORT`."""
    return bool(_ADDRESS.fullmatch(value))
