"""The senders that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pydantic import SecretStr

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, TlsMode
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_cli.observer import log_conversation, log_relay
from pinguin_cli.settings import ServerSettings
from pinguin_core import Clock, Email, FailoverSender, Sender


def smtp_senders(settings: ServerSettings) -> Sequence[SmtpSender]:
    """Make a sender for each relay that is configured, the fallback last."""
    if settings.from_email is None:
        return []
    return [
        SmtpSender(
            relay,
            from_address=settings.from_email,
            connect_timeout=settings.connection_timeout_sec,
            operation_timeout=settings.operation_timeout_sec,
            trace=partial(log_conversation, relay.host) if settings.log_level == "DEBUG" else None,
        )
        for relay in _relays(settings)
    ]


def _relays(settings: ServerSettings) -> Iterator[SmtpRelay]:
    if settings.smtp_host is not None:
        yield SmtpRelay(
            host=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=_in_the_clear(settings.smtp_password),
            tls=TlsMode(settings.smtp_tls),
            ca_file=settings.smtp_tls_ca_file,
        )
    if settings.smtp_fallback_host is not None:
        yield SmtpRelay(
            host=settings.smtp_fallback_host,
            port=settings.smtp_fallback_port,
            username=settings.smtp_fallback_username,
            password=_in_the_clear(settings.smtp_fallback_password),
            tls=TlsMode(settings.smtp_fallback_tls),
            ca_file=settings.smtp_fallback_tls_ca_file,
        )


def _in_the_clear(password: SecretStr | None) -> str | None:
    return None if password is None else password.get_secret_value()


def email_sender(senders: Sequence[SmtpSender], clock: Clock) -> Sender[Email] | None:
    """Join the relays' senders to the one that the dispatcher uses, if there is any."""
    match senders:
        case [primary, fallback]:
            return FailoverSender(primary, fallback, clock=clock, on_route=log_relay)
        case _:
            return next(iter(senders), None)


def sms_sender(settings: ServerSettings) -> TwilioSender | None:
    """Make the sender of SMS, if it is configured."""
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token
    number = settings.twilio_from_number
    if sid is None or token is None or number is None:
        return None
    return TwilioSender(
        TwilioAccount(sid, token.get_secret_value(), number, settings.twilio_base_url),
        connect_timeout=settings.connection_timeout_sec,
        operation_timeout=settings.operation_timeout_sec,
    )
