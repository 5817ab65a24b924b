"""How the sender contract comes by the senders that it tests, and by the providers behind them."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar

from hypothesis.strategies import SearchStrategy

from pinguin_core.message import Email, Message
from pinguin_core.ports import Sender
from pinguin_core.testing.contracts.base import Contract, as_test

_LINE_END = re.compile(r"\r\n|\r")


class Behaviour(Enum):
    """What a provider does with the messages that come from now on.

    `ACCEPT` takes them. `REFUSE` refuses each for good, for its recipient's sake: 550 at RCPT,
    Twilio's 21211. `BE_BUSY` refuses each for now: 450, HTTP 429. `HANG` takes connections and
    requests, and never answers. `BE_UNREACHABLE` listens no more, and ends what connections there
    are. `LOSE_ANSWERS` takes them, and ends the connection instead of answering: after the final
    dot, after the whole request.
    """

    ACCEPT = "accept"
    REFUSE = "refuse"
    BE_BUSY = "be busy"
    HANG = "hang"
    BE_UNREACHABLE = "be unreachable"
    LOSE_ANSWERS = "lose answers"


_TAKING = {Behaviour.ACCEPT, Behaviour.LOSE_ANSWERS}
TROUBLES = [behaviour for behaviour in Behaviour if behaviour not in _TAKING]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it arrived at a provider, taken out of what it travelled in.

    Attributes:
        to: the recipient of the envelope.
        subject: decoded; empty if it came without one.
        body: decoded; what kind of line ends it has does not matter, nor line ends after its last
            line.
        name: what an e-mail calls itself, its Message-ID; empty for an SMS.
    """

    to: str
    subject: str
    body: str
    name: str = ""


class Provider(Protocol):
    """The far side of a sender under test: a server of yours, on a socket of this machine.

    As real ones do, it should repeat the recipient in the texts of its answers, friendly or not:
    the contract checks that the sender does not pass them on.
    """

    @property
    def arrived(self) -> Sequence[Arrival]:
        """All that it accepted so far, in any order."""
        ...

    async def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on. When this returns, nothing of the former behaviour is left."""
        ...


ContractT = TypeVar("ContractT", bound="ProviderContract")


class ProviderContract(Contract):
    """Tests of the sender that `provider` yields.

    Attributes:
        sample: a message that nothing is wrong with.
        private: a message no word of which may be found in an error.
    """

    sample: ClassVar[Message]
    private: ClassVar[Message]

    def provider(self) -> AbstractAsyncContextManager[tuple[Sender[Any], Provider]]:
        """Start a provider, and yield a sender that is connected to it, and the provider itself."""
        raise NotImplementedError(f"{type(self).__name__} must define provider()")

    def messages(self) -> SearchStrategy[Message]:
        """Draw messages that the provider can be given."""
        raise NotImplementedError

    def longest(self) -> Message:
        """Return the longest message there is."""
        raise NotImplementedError


def with_provider(
    test: Callable[[ContractT, Sender[Any], Provider], Coroutine[Any, Any, None]],
) -> Callable[[ContractT], None]:
    """Make a test of an asynchronous one that needs a sender and its provider."""

    async def within(self: ContractT) -> None:
        async with self.provider() as (sender, provider):
            await test(self, sender, provider)

    return as_test(within, test)


def private_words(message: Message) -> list[str]:
    """List what of a message may be found in no error, and in no receipt."""
    to = str(message.to)
    return [to, to.partition("@")[0], message.subject, *message.body.split()]


def arrival(message: Message) -> Arrival:
    """Say how a message is to arrive."""
    subject = message.subject if isinstance(message, Email) else ""
    return normal(Arrival(str(message.to), subject, message.body))


def normal(arrived: Arrival) -> Arrival:
    """Write an arrival so that only differences that matter are left."""
    local, at, domain = arrived.to.rpartition("@")
    body = _LINE_END.sub("\n", arrived.body).rstrip("\n")
    return Arrival(f"{local}{at}{domain.lower()}", arrived.subject, body)
