"""The sender of e-mail: what the dispatcher calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from pinguin_adapters.smtp_sender import mime
from pinguin_adapters.smtp_sender.connecting import Connector
from pinguin_adapters.smtp_sender.delivery import Delivery
from pinguin_adapters.smtp_sender.envelope import Envelope
from pinguin_adapters.smtp_sender.pool import SessionPool
from pinguin_adapters.smtp_sender.relay import SmtpRelay
from pinguin_adapters.smtp_sender.replies import code
from pinguin_core.errors import InvalidValue, PermanentDeliveryError
from pinguin_core.masking import scrub
from pinguin_core.message import Email
from pinguin_core.notification import Receipt
from pinguin_core.values import EmailAddress, NotificationId


class SmtpSender:
    """Delivers e-mail through an SMTP relay (RFC 5321), over sessions that are kept and reused.

    It connects when there is something to send. Leaving its `async with` block ends all sessions.
    A message's Message-ID is made from the notification's id, so each attempt carries the same; it
    is the receipt's `provider_message_id`.

    Args:
        from_address: the sender in envelope and header; we greet the relay by its domain.
        connect_timeout: how long connecting may take, from name look-up to TCP; and how long a
            session that was kept may leave its first command unanswered.
        operation_timeout: how long a whole attempt may take, from the wait for a session and, if a
            new one is needed, its greetings, TLS and login, to the reply to the message. The last
            third is kept for that reply. A new session that is not there by then may still be used
            by the next attempt.
        max_sessions: how many sessions there may be at once; other messages wait for one. No fewer
            than the dispatcher's `concurrency`, or time runs out for those that wait. If the relay
            refuses so many, there are fewer, and one more is tried now and then.
        idle_limit: how long a session is kept without being used.
        age_limit: after how long a session is given up, once it is not in use.
        deliveries_per_session: after how many messages a session is given up; many relays have
            such a limit.
        trace: told each reply of the relay while a notification is delivered, one line with the
            phase, masked as in error texts; for a log at its most detailed.

    Raises:
        InvalidValue: for a number below 1 or a duration that is not more than zero, and if the
            domain of `from_address` is not a valid internationalised name.
    """

    def __init__(
        self,
        relay: SmtpRelay,
        *,
        from_address: EmailAddress,
        connect_timeout: timedelta = timedelta(seconds=5),
        operation_timeout: timedelta = timedelta(seconds=30),
        max_sessions: int = 16,
        idle_limit: timedelta = timedelta(seconds=30),
        age_limit: timedelta = timedelta(minutes=10),
        deliveries_per_session: int = 100,
        trace: Callable[[NotificationId, str], None] | None = None,
    ) -> None:
        for field, number in (
            ("max_sessions", max_sessions),
            ("deliveries_per_session", deliveries_per_session),
        ):
            if number < 1:
                raise InvalidValue(field, "must be 1 or more")
        for field, duration in (
            ("connect_timeout", connect_timeout),
            ("operation_timeout", operation_timeout),
            ("idle_limit", idle_limit),
            ("age_limit", age_limit),
        ):
            if duration <= timedelta(0):
                raise InvalidValue(field, "must be more than zero")
        self._secrets = relay.secrets
        self._from_address = from_address
        self._trace = trace
        self._envelope_sender = mime.wire_address(from_address)
        self._connect_timeout = connect_timeout
        self._operation_timeout = operation_timeout
        our_name = mime.ascii_domain(from_address.domain)
        self._pool = SessionPool(
            Connector(
                relay,
                our_name=our_name,
                connect_timeout=connect_timeout,
                time_limit=operation_timeout,
            ),
            max_sessions=max_sessions,
            idle_limit=idle_limit,
            age_limit=age_limit,
            deliveries_per_session=deliveries_per_session,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.close()

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        """Hand one e-mail to the relay. See `Sender.send`."""
        envelope = self._envelope(message, id, date)
        delivery = Delivery(
            envelope,
            self._pool,
            time_limit=self._operation_timeout,
            patience=self._connect_timeout,
            trace=self._trace and partial(self._trace, id),
        )
        reply = await delivery.run()
        said = scrub(reply.words, envelope.private(reply.words))
        return Receipt(mime.message_id(id, self._from_address), code(reply), said)

    def _envelope(self, message: Email, id: NotificationId, date: datetime) -> Envelope:
        try:
            recipient = mime.wire_address(message.to)
            content = mime.build(message, from_address=self._from_address, id=id, date=date)
        except InvalidValue as error:
            problem = f"the recipient's address {error.problem}"
            raise PermanentDeliveryError(problem, asked=False) from error
        return Envelope(self._envelope_sender, recipient, content, message, self._secrets)
