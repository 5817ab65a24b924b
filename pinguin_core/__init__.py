"""Pinguin's domain: what an application imports to send notifications durably."""

from pinguin_core.dispatcher import Dispatcher
from pinguin_core.errors import (
    ChannelDisabled,
    DeliveryError,
    DuplicateNotification,
    InvalidTransition,
    InvalidValue,
    NotificationNotFound,
    PermanentDeliveryError,
    PinguinError,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
    TransientDeliveryError,
)
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
from pinguin_core.ports import Clock, IdGenerator, NotificationRepository, Observer, Sender
from pinguin_core.retry import ExponentialBackoff, RetryPolicy
from pinguin_core.service import NotificationService
from pinguin_core.system import NullObserver, SystemClock, TimeSortedIds
from pinguin_core.values import EmailAddress, NotificationId, PhoneNumber

__all__ = [
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
    "IdGenerator",
    "InvalidTransition",
    "InvalidValue",
    "Message",
    "Notification",
    "NotificationId",
    "NotificationNotFound",
    "NotificationRepository",
    "NotificationService",
    "NullObserver",
    "Observer",
    "PermanentDeliveryError",
    "PhoneNumber",
    "PinguinError",
    "Queued",
    "Receipt",
    "RetryPolicy",
    "Sender",
    "Sending",
    "Sent",
    "Sms",
    "StaleNotification",
    "State",
    "StoreFull",
    "StoreUnavailable",
    "SystemClock",
    "TimeSortedIds",
    "TransientDeliveryError",
]
