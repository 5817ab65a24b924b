"""What the actors of a simulation did, each by its own account: what the checker reads."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from pinguin_core import IdempotencyKey, Message, Notification, NotificationId


@dataclass
class Request:
    """A caller's: what it asked for, and the answers that it got, to however many calls."""

    number: int
    message: Message
    scheduled_at: datetime | None
    key: IdempotencyKey | None
    answers: list[NotificationId] = field(default_factory=list)
    is_over: bool = False


@dataclass(slots=True)
class Ask:
    """The provider's: it was asked to deliver.

    Attributes:
        provider: its name.
        at: in seconds since the simulation began.
        accepted_at: when it took the message, if it did.
        is_told: whether it says so, clearly and in time.
        holds: whether it shows itself as down, clearly and in time: then it took nothing.
    """

    provider: str
    process: str
    at: float
    is_told: bool
    holds: bool
    accepted_at: float | None = None


@dataclass(slots=True)
class Claim:
    """The store's: it gave an attempt to a process.

    Attributes:
        notification: as it gave it.
        asked_at: when the process asked for it, in seconds since the simulation began.
        wall: what the wall clock showed then.
        at: when it was given.
    """

    notification: Notification
    process: str
    asked_at: float
    wall: datetime
    at: float


class Answer(Enum):
    """What a look at a provider's list told."""

    FOUND = auto()
    NOT_FOUND = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Look:
    """The provider's: it was asked whether it had taken a message.

    Attributes:
        at: in seconds since the simulation began.
    """

    at: float
    answer: Answer


class Trouble(Enum):
    """Why a worker may not be able to report in time, or be taken for late."""

    KILLED = auto()
    STOPPED = auto()
    """By the operating system, for a while."""
    CLOSED = auto()
    """In good order, but attempts that take too long are broken off."""
    UNSTORED = auto()
    """The store failed, or was slow, when an outcome was to be stored."""
    CLOCK_SET = auto()


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What may excuse a duplicate.

    Attributes:
        since: in seconds since the simulation began.
        until: the same.
        process: whose trouble it is; empty if it is that of all.
        id: the notification that it is about; empty if it is about all.
    """

    trouble: Trouble
    since: float
    until: float
    process: str = ""
    id: str = ""


class Records:
    """All of it, and the trace: one line for each event, in order.

    Args:
        now: tells the seconds since the simulation began.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.tries_again_in_doubt = True
        self.sms_per_day: int | None = None
        self.requests: list[Request] = []
        self.versions: defaultdict[str, list[Notification]] = defaultdict(list)
        self.claims: defaultdict[str, list[Claim]] = defaultdict(list)
        self.asks: defaultdict[str, list[Ask]] = defaultdict(list)
        self.looks: defaultdict[str, list[Look]] = defaultdict(list)
        self.disturbances: list[Disturbance] = []
        self.oddities: list[str] = []
        self.unfinished: set[str] = set()
        self.ended: dict[str, float] = {}
        self.trace: list[str] = []

    def event(self, what: str) -> None:
        self.trace.append(f"{self.now():.6f} {what}")

    def version(self, notification: Notification) -> None:
        """Note what the store keeps from now on."""
        name = notification.id.value
        self.versions[name].append(notification)
        if notification.is_final:
            self.unfinished.discard(name)
            self.ended[name] = self.now()
        else:
            self.unfinished.add(name)

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()
