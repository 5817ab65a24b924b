"""Delivers e-mail through an SMTP relay."""

from pinguin_adapters.smtp_sender.relay import SmtpRelay, TlsMode
from pinguin_adapters.smtp_sender.sender import SmtpSender

__all__ = ["SmtpRelay", "SmtpSender", "TlsMode"]
