"""Every error that Pinguin raises on purpose, in one tree."""

from __future__ import annotations

from datetime import timedelta

from pinguin_core.masking import storable


class PinguinError(Exception):
    """The root of all errors that Pinguin raises on purpose."""


class InvalidValue(PinguinError, ValueError):
    """A value that cannot be accepted.

    Attributes:
        field: the argument at fault, as the core names it (`email_address`, `subject`, `body`, …).
        problem: what is wrong and what would be right, without the offending text itself.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidTransition(PinguinError):
    """A step that the notification's state does not allow.

    Attributes:
        step: the step that was asked for, such as `start`.
        state: the name of the state it was asked in, such as `Sent`.
    """

    def __init__(self, step: str, state: str) -> None:
        super().__init__(f"a notification that is {state} cannot {step}")
        self.step = step
        self.state = state


class NotificationNotFound(PinguinError, LookupError):
    """No notification has this id."""

    def __init__(self, notification_id: str) -> None:
        super().__init__(f"no notification has the id {notification_id}")
        self.notification_id = notification_id


class DuplicateNotification(PinguinError):
    """A notification with this id, or with its idempotency key, is already stored."""

    def __init__(self, notification_id: str) -> None:
        super().__init__(
            f"a notification with the id {notification_id}, or its idempotency key, is already"
            " stored"
        )
        self.notification_id = notification_id


class IdempotencyConflict(PinguinError):
    """An idempotency key was used before with a different message or time.

    Attributes:
        notification_id: the notification that the key was given first.
    """

    def __init__(self, notification_id: str) -> None:
        super().__init__(
            f"idempotency_key: was already used for {notification_id}, with a different message or"
            " time; use a new key for a new request"
        )
        self.notification_id = notification_id


class StaleNotification(PinguinError):
    """Somebody else changed the stored notification since this copy of it was read."""

    def __init__(self, notification_id: str) -> None:
        super().__init__(f"the stored notification {notification_id} was changed in the meantime")
        self.notification_id = notification_id


class ChannelDisabled(PinguinError):
    """There is no provider for this kind of message.

    Attributes:
        channel: `email` or `sms`.
        remedy: what the operator can do about it.
    """

    def __init__(self, channel: str, remedy: str) -> None:
        super().__init__(f"{channel} is not configured: {remedy}")
        self.channel = channel
        self.remedy = remedy


class StoreUnavailable(PinguinError):
    """The store cannot be reached, or refuses to work; the same call may succeed later."""


class StoreFull(PinguinError):
    """The store or its queue is full."""


class DeliveryError(PinguinError):
    """An attempt to deliver did not succeed.

    Attributes:
        reason: one line for operators and callers; it names the provider's reply, never the
            recipient or the content. What no store could keep of it is replaced by `?`.
        code: the provider's own code for what is wrong, such as `450 4.2.1`; empty if it gave none.
    """

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.reason = storable(reason)
        self.code = storable(code)


class TransientDeliveryError(DeliveryError):
    """The attempt failed, but a later one may succeed.

    Attributes:
        retry_after: how long the provider asked us to wait, if it did.
        ambiguous: the provider may have accepted the message, so the next attempt may deliver it
            a second time.
        of_provider: the problem is the provider's, not this message's: others would fail too.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: str = "",
        retry_after: timedelta | None = None,
        ambiguous: bool = False,
        of_provider: bool = False,
    ) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after
        self.ambiguous = ambiguous
        self.of_provider = of_provider


class PermanentDeliveryError(DeliveryError):
    """The message was refused for good; trying again is pointless.

    Attributes:
        asked: the provider itself refused it. If not, a sender did, which says nothing about the
            state of the provider.
        elsewhere: another provider may well accept it: this one refused it because of what it
            cannot accept, or does not accept from us.
    """

    def __init__(
        self, reason: str, *, code: str = "", asked: bool = True, elsewhere: bool = False
    ) -> None:
        super().__init__(reason, code=code)
        self.asked = asked
        self.elsewhere = elsewhere


class HeldForProvider(TransientDeliveryError):
    """The message has to wait for a provider that is down, though others need not.

    It is held until `retry_after` is over, and that uses up no retry.
    """

    def __init__(self, reason: str, *, code: str = "", retry_after: timedelta) -> None:
        super().__init__(reason, code=code, retry_after=retry_after)


class ProviderDown(TransientDeliveryError):
    """The provider is known to be down for every message; one such error opens the breaker.

    Nothing fails because of it. What is due is held, and the provider is probed now and then.
    """

    def __init__(
        self, reason: str, *, code: str = "", retry_after: timedelta | None = None
    ) -> None:
        super().__init__(reason, code=code, retry_after=retry_after, of_provider=True)


class ProviderMisconfigured(ProviderDown):
    """The provider rejects our configuration, not the message: an operator must act."""
