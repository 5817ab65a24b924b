"""The adapters as applications use them: type-checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

import sqlalchemy as sa
import sqlmodel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, TlsMode
from pinguin_adapters.sqlmodel_store import (
    SqlModelNotificationRepository,
    UnreadableNotification,
    enqueue,
    enqueue_async,
    metadata,
)
from pinguin_adapters.twilio_sender import TwilioAccount, TwilioSender
from pinguin_core import (
    Dispatcher,
    Email,
    EmailAddress,
    IdempotencyKey,
    Notification,
    NotificationId,
    NotificationRepository,
    NotificationService,
    PhoneNumber,
    Reconciler,
    Sender,
    Sms,
)

WELCOME = Email(EmailAddress("ada@example.com"), "Welcome", "Hello")
NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


async def embed() -> None:
    relay = SmtpRelay(
        "smtp.example.com",
        465,
        username="mailer",
        password="secret",
        tls=TlsMode.IMPLICIT,
        ca_file=Path("ca.pem"),
    )
    account = TwilioAccount("AC1", "secret", PhoneNumber("+15550100123"))
    async with (
        SqlModelNotificationRepository.open("sqlite:///notifications.db") as store,
        SmtpSender(
            relay,
            from_address=EmailAddress("hello@example.com"),
            connect_timeout=timedelta(seconds=2),
            operation_timeout=timedelta(seconds=20),
            max_sessions=4,
        ) as mailer,
        TwilioSender(account, operation_timeout=timedelta(seconds=20)) as texter,
        Dispatcher(store, email=mailer, sms=texter) as dispatcher,
    ):
        assert_type(store, SqlModelNotificationRepository)
        assert_type(mailer, SmtpSender)
        assert_type(texter, TwilioSender)
        store.subscribe(dispatcher.wake_at)
        assert_type(store.warnings, Sequence[str])
        keeps: NotificationRepository = store
        mails: Sender[Email] = mailer
        texts: Sender[Sms] = texter
        finds: Reconciler[Sms] = texter
        assert_type(isinstance(finds, TwilioSender), bool)
        service = NotificationService(keeps, on_queued=dispatcher.wake)
        await service.send(WELCOME)
        Dispatcher(keeps, email=mails, sms=texts)


def relays() -> str:
    with_defaults = SmtpRelay("localhost", tls=TlsMode("off"))
    assert_type(with_defaults.port, int)
    assert_type(with_defaults.password, str | None)
    return TwilioAccount("AC1", "x", PhoneNumber("+15550100123"), "https://proxy").base_url


async def only_deliver() -> str:
    async with SqlModelNotificationRepository.open("sqlite:///shop.db", migrate=False) as store:
        try:
            await store.get(NotificationId("notif-1"))
        except UnreadableNotification as error:
            return error.notification_id + error.problem
    return ""


def store_with_the_order(
    session: Session,
    flask: scoped_session[Session],
    model: sqlmodel.Session,
    connection: sa.Connection,
) -> NotificationId:
    assert_type(enqueue(session, WELCOME), Notification)
    enqueue(flask, WELCOME, scheduled_at=NEW_YEAR, idempotency_key=IdempotencyKey("order-7"))
    enqueue(model, Sms(PhoneNumber("+15550100123"), "Hello"))
    return enqueue(connection, WELCOME).id


async def store_asynchronously(session: AsyncSession, connection: AsyncConnection) -> None:
    assert_type(await enqueue_async(session, WELCOME), Notification)
    await enqueue_async(connection, WELCOME, idempotency_key=IdempotencyKey("order-7"))


def migrate(engine: sa.Engine) -> list[sa.MetaData]:
    metadata.create_all(engine)
    return [sqlmodel.SQLModel.metadata, metadata]


async def refused(session: Session, other: AsyncSession) -> None:
    enqueue(other, WELCOME)  # type: ignore[arg-type]  # an asynchronous session has to be awaited
    await enqueue_async(session, WELCOME)  # type: ignore[arg-type]  # a synchronous one cannot be
    enqueue(session, "Hello")  # type: ignore[arg-type]  # no message
    SmtpRelay("localhost", tls="off")  # type: ignore[arg-type]  # a mode, not its name
    TwilioAccount("AC1", "x", "+15550100123")  # type: ignore[arg-type]  # a number is a PhoneNumber
    SmtpSender(SmtpRelay("localhost"), from_address="a@example.com")  # type: ignore[arg-type]  # so is an address
