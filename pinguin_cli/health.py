"""The health services that tell of the providers, and the observer that keeps them true."""

from __future__ import annotations

from typing import Final

from pinguin_core import Channel, NullObserver
from pinguin_grpc.health import Health

HEALTH_SERVICES: Final = {Channel.EMAIL: "smtp", Channel.SMS: "twilio"}
"""The health services that tell of the channels' providers."""


class HealthObserver(NullObserver):
    """Reports to the health services how the providers fare."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:  # noqa: ARG002 (the port's)
        """Report that a provider is considered down, or is up again."""
        self._health.report(HEALTH_SERVICES[channel], is_up=is_up)
