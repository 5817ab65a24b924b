"""Providers that need no account: servers inside the process, which keep what they are sent."""

from pinguin_cli.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
