"""Pinguin's domain: what an application imports to send notifications durably."""

from pinguin_core.dispatcher import Dispatcher
from pinguin_core.errors import (
    ChannelDisabled,
    DeliveryError,
    DuplicateNotification,
    HeldForProvider,
    IdempotencyConflict,
    InvalidTransition,
    InvalidValue,
    NotificationNotFound,
    PermanentDeliveryError,
    PinguinError,
    ProviderDown,
    ProviderMisconfigured,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
    TransientDeliveryError,
)
from pinguin_core.failover import FailoverSender, OnRoute
from pinguin_core.history import Attempt, Outcome
from pinguin_core.masking import scrub
from pinguin_core.message import Channel, Email, Message, Sms
from pinguin_core.notification import (
    Cancelled,
    Failed,
    Notification,
    Queued,
    Receipt,
    Sending,
    Sent,
    State,
)
from pinguin_core.ports import (
    Clock,
    IdGenerator,
    IsTaken,
    NotificationRepository,
    Observer,
    Reconciler,
    Sender,
    SmsCount,
    SmsLedger,
)
from pinguin_core.retry import ExponentialBackoff, RetryPolicy
from pinguin_core.service import NotificationService
from pinguin_core.sms_quota import SmsQuota
from pinguin_core.sms_rules import SmsRules
from pinguin_core.system import NullObserver, SystemClock, TimeSortedIds
from pinguin_core.values import EmailAddress, IdempotencyKey, NotificationId, PhoneNumber

__all__ = [
    "Attempt",
    "Cancelled",
    "Channel",
    "ChannelDisabled",
    "Clock",
    "DeliveryError",
    "Dispatcher",
    "DuplicateNotification",
    "Email",
    "EmailAddress",
    "ExponentialBackoff",
    "Failed",
    "FailoverSender",
    "HeldForProvider",
    "IdGenerator",
    "IdempotencyConflict",
    "IdempotencyKey",
    "InvalidTransition",
    "InvalidValue",
    "IsTaken",
    "Message",
    "Notification",
    "NotificationId",
    "NotificationNotFound",
    "NotificationRepository",
    "NotificationService",
    "NullObserver",
    "Observer",
    "OnRoute",
    "Outcome",
    "PermanentDeliveryError",
    "PhoneNumber",
    "PinguinError",
    "ProviderDown",
    "ProviderMisconfigured",
    "Queued",
    "Receipt",
    "Reconciler",
    "RetryPolicy",
    "Sender",
    "Sending",
    "Sent",
    "Sms",
    "SmsCount",
    "SmsLedger",
    "SmsQuota",
    "SmsRules",
    "StaleNotification",
    "State",
    "StoreFull",
    "StoreUnavailable",
    "SystemClock",
    "TimeSortedIds",
    "TransientDeliveryError",
    "scrub",
]
