"""The composition root: which parts the service is made of, and how they are joined.

The graph is synchronous and opens nothing; `serve` opens and closes what it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Protocol

from dependency_injector import containers, providers

from pinguin_cli.health import HEALTH_SERVICES, HealthObserver
from pinguin_cli.observer import LogObserver, Observers
from pinguin_cli.senders import email_sender, sms_sender, smtp_senders
from pinguin_cli.settings import ServerSettings
from pinguin_core import (
    Channel,
    Dispatcher,
    ExponentialBackoff,
    NotificationRepository,
    NotificationService,
    SmsLedger,
    SmsQuota,
    SmsRules,
    SystemClock,
    TimeSortedIds,
)
from pinguin_grpc.health import Health
from pinguin_grpc.server import GrpcServer, TlsFiles

_MARGIN: Final = timedelta(seconds=10)
"""By how much the dispatcher's patience exceeds the sender's, which knows better what happened."""

DRAIN: Final = timedelta(seconds=5)
"""How long deliveries under way may take to end when the service stops."""


def disabled_channels(settings: ServerSettings) -> Mapping[Channel, str]:
    """Name the channels without a provider, each with what an operator can do about it."""
    missing = {Channel.EMAIL: settings.missing_for_email, Channel.SMS: settings.missing_for_sms}
    return {
        channel: f"set {', '.join(names)} and restart the service"
        for channel, names in missing.items()
        if names
    }


def health(settings: ServerSettings) -> Health:
    """Make the health services, with one for each provider that is configured."""
    disabled = disabled_channels(settings)
    return Health([name for channel, name in HEALTH_SERVICES.items() if channel not in disabled])


def tls_files(settings: ServerSettings) -> TlsFiles | None:
    """Name the files that TLS needs, if it is configured."""
    certificate, key = settings.grpc_tls_cert_file, settings.grpc_tls_key_file
    if certificate is None or key is None:
        return None
    return TlsFiles(certificate, key, settings.grpc_tls_client_ca_file)


def attempt_timeout(settings: ServerSettings) -> timedelta:
    """Say when the dispatcher gives an attempt up, which the sender should have done before."""
    relays = 1 if settings.smtp_fallback_host is None else 2
    return settings.connection_timeout_sec + relays * settings.operation_timeout_sec + _MARGIN


def retries_ambiguous(settings: ServerSettings) -> bool:
    """Say whether what may have been delivered is tried again."""
    return settings.on_ambiguous == "retry"


def sms_rules(settings: ServerSettings) -> SmsRules:
    """Say which SMS are accepted."""
    return SmsRules(
        max_segments=settings.sms_max_segments,
        allowed_prefixes=settings.sms_allowed_prefixes,
        fold_typography=settings.sms_fold_typography,
    )


class Store(NotificationRepository, SmsLedger, Protocol):
    """Where the service keeps its notifications."""


def sms_quota(settings: ServerSettings, store: Store) -> SmsQuota | None:
    """Say how many SMS may leave in a day, if there is a limit."""
    per_day, to_one = settings.sms_per_day, settings.sms_per_recipient_per_day
    if per_day is None and to_one is None:
        return None  # and nobody counts
    return SmsQuota(store, per_day=per_day, per_recipient_per_day=to_one)


class Container(containers.DeclarativeContainer):
    """The service's parts, each made when it is first asked for."""

    settings = providers.Dependency(instance_of=ServerSettings)
    repository: providers.Dependency[Store] = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    health = providers.Singleton(health, settings)
    observer = providers.Singleton(
        Observers,
        providers.Singleton(LogObserver, settings.provided.log_level),
        providers.Singleton(HealthObserver, health),
    )
    smtp_senders = providers.Singleton(smtp_senders, settings)
    email_sender = providers.Singleton(email_sender, smtp_senders, clock)
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
        email_rate=settings.provided.email_rate_per_sec,
        sms_rate=settings.provided.sms_rate_per_sec,
        retry_ambiguous=providers.Factory(retries_ambiguous, settings),
        sms_quota=providers.Factory(sms_quota, settings, repository),
    )
    service = providers.Singleton(
        NotificationService,
        repository,
        clock=clock,
        ids=providers.Singleton(TimeSortedIds),
        on_queued=dispatcher.provided.wake,
        observer=observer,
        disabled=providers.Factory(disabled_channels, settings),
        sms_rules=providers.Factory(sms_rules, settings),
    )
    server = providers.Singleton(
        GrpcServer,
        service,
        tokens=settings.provided.tokens,
        tls=providers.Factory(tls_files, settings),
        observer=observer,
        health=health,
    )
