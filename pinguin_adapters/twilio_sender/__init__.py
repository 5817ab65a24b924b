"""Delivers SMS through Twilio."""

from pinguin_adapters.twilio_sender.account import TwilioAccount
from pinguin_adapters.twilio_sender.sender import TwilioSender

__all__ = ["TwilioAccount", "TwilioSender"]
