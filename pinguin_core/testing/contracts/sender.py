"""The contracts of senders: what everybody may rely on who is handed a `Sender`."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from hypothesis.strategies import SearchStrategy

from pinguin_core.errors import DeliveryError
from pinguin_core.message import MAX_SMS_TEXT, Email, Message, Sms
from pinguin_core.ports import Sender
from pinguin_core.testing.contracts.base import run
from pinguin_core.testing.contracts.delivering import Delivering, arrives, send
from pinguin_core.testing.contracts.provider import Behaviour, Provider, with_provider
from pinguin_core.testing.contracts.reconciling import Reconciling
from pinguin_core.testing.contracts.samples import EMAIL, SMS
from pinguin_core.testing.contracts.troubles import Troubles
from pinguin_core.testing.strategies import emails, sms
from pinguin_core.values import EmailAddress, PhoneNumber

_LONGEST_LINES = 5_000


class SenderContract(Delivering, Troubles):
    """What senders of both kinds promise: inherit `EmailSenderContract` or `SmsSenderContract`.

    Then define `provider`:

    ```python
    class TestMySender(EmailSenderContract):
        @asynccontextmanager
        async def provider(self) -> AsyncIterator[tuple[MySender, Provider]]:
            async with MyRelay() as relay, MySender(relay.port, timeout=HALF_A_SECOND) as sender:
                yield sender, relay
    ```

    `MyRelay` is the harder part: a small server in your tests that speaks the provider's protocol,
    and behaves as it is told; see `Provider`. There is nothing to switch off, and a class that
    redefines anything but `provider` and `examples` raises `TypeError` where it is defined.
    """

    def provider(self) -> AbstractAsyncContextManager[tuple[Sender[Any], Provider]]:
        """Start a provider that accepts, and yield a sender connected to it, and the provider.

        Give the sender short time limits of its own, a second at the most: the contract waits for
        them to run out, several times. On leaving, both are closed.
        """
        return super().provider()


class EmailSenderContract(SenderContract):
    """All that a `Sender[Email]` promises, as tests. Inherit it and define `provider`.

    See `SenderContract` for how that looks.
    """

    sample = EMAIL
    private = Email(
        EmailAddress("rosemary.woodhouse@example.com"), "Tannis root", "Charms&wards, Guy!"
    )

    def messages(self) -> SearchStrategy[Message]:
        """Draw e-mails whose domains can be compared as they are."""
        return emails(international=False)

    def longest(self) -> Message:
        """Return an e-mail of more than half a megabyte."""
        lines = (f"{number} zażółć gęślą jaźń" * 4 for number in range(_LONGEST_LINES))
        return Email(EMAIL.to, EMAIL.subject, "\n".join(lines))

    @with_provider
    async def test_each_attempt_carries_the_same_name(
        self, sender: Sender[Email], provider: Provider
    ) -> None:
        """On the wire and in the receipt; another notification has another name.

        So whoever gets it twice, as after the answer to the first was lost, can tell.
        """
        await provider.behave(Behaviour.LOSE_ANSWERS)
        with pytest.raises(DeliveryError):
            await send(sender, EMAIL, "notif-1")
        await provider.behave(Behaviour.ACCEPT)
        receipts = [await send(sender, EMAIL, name) for name in ("notif-1", "notif-1", "notif-2")]
        first, again, other = [receipt.provider_message_id for receipt in receipts]
        assert first == again != other
        assert sorted(Counter(arrived.name for arrived in provider.arrived).values()) == [1, 3]
        arrives(provider, [EMAIL] * 4)

    def test_another_process_gives_the_same_name(self) -> None:
        run(_assert_named_alike(self))


async def _assert_named_alike(contract: EmailSenderContract) -> None:
    names = []
    for _ in range(2):
        async with contract.provider() as (sender, provider):
            receipt = await send(sender, EMAIL)
            [arrived] = provider.arrived
            names.append((receipt.provider_message_id, arrived.name))
    assert names[0] == names[1]
    assert "" not in names[0]


class SmsSenderContract(SenderContract):
    """All that a `Sender[Sms]` promises, as tests. Inherit it and define `provider`.

    See `SenderContract` for how that looks.
    """

    sample = SMS
    private = Sms(PhoneNumber("+15550177345"), "Charms&wards, Guy!", "Tannis root")

    def messages(self) -> SearchStrategy[Message]:
        """Draw text messages."""
        return sms()

    def longest(self) -> Message:
        """Return a text message of the greatest length."""
        return Sms(SMS.to, "ü😀 x" * (MAX_SMS_TEXT // 4))


class SmsReconcilerContract(SmsSenderContract, Reconciling):
    """All that a `Sender[Sms]` promises that is a `Reconciler` too. Inherit it like the others.

    Give the sender no time to wait in before it looks a message up.
    """
