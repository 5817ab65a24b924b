"""The composition root: which parts the service is made of, and how they are joined.

The graph is synchronous and opens nothing; `serve` opens and closes what it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from dependency_injector import containers, providers

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, TlsMode
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_cli.observer import LogObserver, log_conversation
from pinguin_cli.settings import ServerSettings
from pinguin_core import (
    Channel,
    Dispatcher,
    ExponentialBackoff,
    NotificationRepository,
    NotificationService,
    SystemClock,
    TimeSortedIds,
)
from pinguin_grpc.server import GrpcServer, TlsFiles

_MARGIN: Final = timedelta(seconds=10)
"""By how much the dispatcher's patience exceeds the sender's, which knows better what happened."""

DRAIN: Final = timedelta(seconds=5)
"""How long deliveries under way may take to end when the service stops."""


def email_sender(settings: ServerSettings) -> SmtpSender | None:
    """Make the sender of e-mail, if it is configured."""
    if settings.smtp_host is None or settings.from_email is None:
        return None
    password = settings.smtp_password
    relay = SmtpRelay(
        host=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=None if password is None else password.get_secret_value(),
        tls=TlsMode(settings.smtp_tls),
        ca_file=settings.smtp_tls_ca_file,
    )
    return SmtpSender(
        relay,
        from_address=settings.from_email,
        connect_timeout=settings.connection_timeout_sec,
        operation_timeout=settings.operation_timeout_sec,
        trace=log_conversation if settings.log_level == "DEBUG" else None,
    )


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


def disabled_channels(settings: ServerSettings) -> Mapping[Channel, str]:
    """Name the channels without a provider, each with what an operator can do about it."""
    missing = {Channel.EMAIL: settings.missing_for_email, Channel.SMS: settings.missing_for_sms}
    return {
        channel: f"set {', '.join(names)} and restart the service"
        for channel, names in missing.items()
        if names
    }


def tls_files(settings: ServerSettings) -> TlsFiles | None:
    """Name the files that TLS needs, if it is configured."""
    certificate, key = settings.grpc_tls_cert_file, settings.grpc_tls_key_file
    if certificate is None or key is None:
        return None
    return TlsFiles(certificate, key, settings.grpc_tls_client_ca_file)


def attempt_timeout(settings: ServerSettings) -> timedelta:
    """Say when the dispatcher gives an attempt up, which the sender should have done before."""
    return settings.connection_timeout_sec + settings.operation_timeout_sec + _MARGIN


class Container(containers.DeclarativeContainer):
    """The service's parts, each made when it is first asked for."""

    settings = providers.Dependency(instance_of=ServerSettings)
    repository: providers.Dependency[NotificationRepository] = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    observer = providers.Singleton(LogObserver, settings.provided.log_level)
    email_sender = providers.Singleton(email_sender, settings)
    sms_sender = providers.Singleton(sms_sender, settings)
    policy = providers.Singleton(
        ExponentialBackoff,
        base=settings.provided.retry_interval_sec,
        max_retries=settings.provided.max_retries,
    )
    dispatcher = providers.Singleton(
        Dispatcher,
        repository,
        email=email_sender,
        sms=sms_sender,
        clock=clock,
        policy=policy,
        observer=observer,
        attempt_timeout=providers.Factory(attempt_timeout, settings),
        drain_timeout=DRAIN,
    )
    service = providers.Singleton(
        NotificationService,
        repository,
        clock=clock,
        ids=providers.Singleton(TimeSortedIds),
        on_queued=dispatcher.provided.wake,
        observer=observer,
        disabled=providers.Factory(disabled_channels, settings),
    )
    server = providers.Singleton(
        GrpcServer,
        service,
        tokens=settings.provided.tokens,
        tls=providers.Factory(tls_files, settings),
        observer=observer,
    )
