"""Senders in memory, each with one defect that some sender may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from support.memory_provider import MemoryProvider, MemorySender

from pinguin_core import (
    DeliveryError,
    NotificationId,
    PermanentDeliveryError,
    Receipt,
    TransientDeliveryError,
)


class SwallowsErrors(MemorySender):
    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except DeliveryError:
            return Receipt(f"fake-{id}")


class GivesUpAtOnce(MemorySender):
    """Takes every trouble for a refusal."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            raise PermanentDeliveryError(error.reason) from error


class NeverGivesUp(MemorySender):
    """Takes every refusal for a passing trouble."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except PermanentDeliveryError as error:
            raise TransientDeliveryError(error.reason) from error


class RaisesWhatItGets(MemorySender):
    """Lets foreign errors out."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            raise error.__cause__ or error from None


class LetsTimeoutsOut(MemorySender):
    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            if error.reason == "no answer":
                raise TimeoutError from None
            raise


class DeliversTwice(MemorySender):
    async def hand_over(self, message: Any, name: str) -> None:
        await super().hand_over(message, name)
        await super().hand_over(message, name)


class TriesAgainItself(MemorySender):
    """Sends a second time when the answer is late in coming, though it may have been taken."""

    async def hand_over(self, message: Any, name: str) -> None:
        await asyncio.gather(super().hand_over(message, name), super().hand_over(message, name))


class DeliversNothing(MemorySender):
    async def hand_over(self, message: Any, name: str) -> None:
        return


def on_body(change: Callable[[str], str]) -> type[MemorySender]:
    class Changes(MemorySender):
        async def hand_over(self, message: Any, name: str) -> None:
            await super().hand_over(replace(message, body=change(message.body)), name)

    return Changes


class LosesTheSubject(MemorySender):
    async def hand_over(self, message: Any, name: str) -> None:
        await super().hand_over(replace(message, subject=""), name)


class MixesConcurrentMessages(MemorySender):
    """Keeps the message at hand in a place that all sends share."""

    at_hand: Any = None

    async def hand_over(self, message: Any, name: str) -> None:
        self.at_hand = message
        await asyncio.sleep(0)
        await super().hand_over(self.at_hand, name)


class SendsWhatWasCancelled(MemorySender):
    """Has a cancelled message still at hand when the next one comes, and sends both as one."""

    left: str = ""

    async def hand_over(self, message: Any, name: str) -> None:
        whole = replace(message, body=self.left + message.body)
        self.left = message.body
        await super().hand_over(whole, name)
        self.left = ""


class LosesItsSessions(MemorySender):
    """Does not give its session back when it is cancelled, or when there is trouble."""

    def __init__(self, provider: MemoryProvider) -> None:
        super().__init__(provider)
        self.sessions = asyncio.Semaphore(4)

    async def hand_over(self, message: Any, name: str) -> None:
        await self.sessions.acquire()
        await super().hand_over(message, name)
        self.sessions.release()


class IgnoresCancellation(MemorySender):
    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        sending = asyncio.ensure_future(super().send(message, id=id, date=date))
        while not sending.done():
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                continue
        return sending.result()


class WaitsForEver(MemorySender):
    limit = 3600.0


class Indiscreet(MemorySender):
    """Tells everybody whom it could not write to."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except PermanentDeliveryError:
            raise PermanentDeliveryError(f"550 <{message.to}>: no such user") from None


class Talkative(MemorySender):
    """Tells what it could not deliver."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError:
            raise TransientDeliveryError(f"not delivered: {message.body}") from None


class IndiscreetInItsCode(MemorySender):
    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except PermanentDeliveryError as error:
            raise PermanentDeliveryError(error.reason, code=f"550 <{message.to}>") from None


class NeverInDoubt(MemorySender):
    """Says that what the provider did not confirm was not taken."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            raise TransientDeliveryError(error.reason) from None


class AlwaysInDoubt(MemorySender):
    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            raise TransientDeliveryError(error.reason, ambiguous=True) from None


class SendsWhatWasLostAgain(MemorySender):
    async def hand_over(self, message: Any, name: str) -> None:
        try:
            await super().hand_over(message, name)
        except ConnectionResetError:
            await super().hand_over(message, name)


class WaitsForThePast(MemorySender):
    """Takes the moment that the provider names for a time to wait, by a wrong clock."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError as error:
            raise TransientDeliveryError(error.reason, retry_after=-timedelta(days=1)) from None


class NamesAnew(MemorySender):
    """Has each message named on the wire as if it were the first of its kind."""

    def name(self, id: NotificationId) -> str:
        return f"<{id}-{len(self.attempts)}@example.com>"


class NamesAfterItsProcess(MemorySender):
    def name(self, id: NotificationId) -> str:
        return f"<{id}-{hash(self)}@example.com>"


class LongWinded(MemorySender):
    """Passes on a reply of several lines."""

    async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await super().send(message, id=id, date=date)
        except TransientDeliveryError:
            raise TransientDeliveryError("450 busy\n450 come back later") from None


def receiving(**texts: str) -> type[MemorySender]:
    """Pass the provider's reply on as it is."""

    class Receives(MemorySender):
        async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
            receipt = await super().send(message, id=id, date=date)
            told: Any = {field: text.format(message) for field, text in texts.items()}
            return replace(receipt, **told)

    return Receives


def naming(name: Callable[[MemorySender, NotificationId], str]) -> type[MemorySender]:
    class Names(MemorySender):
        async def send(self, message: Any, *, id: NotificationId, date: datetime) -> Receipt:
            await super().send(message, id=id, date=date)
            return Receipt(name(self, id))

    return Names


_REFUSED: Final = "a_refusal_is_permanent"
_BUSY: Final = "a_busy_provider_is_tried_again"
_HANGS: Final = "a_sender_gives_up_when_it_gets_no_answer"
_GONE: Final = "an_unreachable_provider_is_tried_again"
_RECOVERS: Final = "a_sender_recovers_from_every_trouble"
_DISCREET: Final = "an_error_says_what_happened_and_nothing_private"
_ENDS: Final = "a_cancelled_send_ends_at_once"
_USABLE: Final = "cancelling_leaves_the_sender_usable"
_UNMIXED: Final = "what_follows_a_cancelled_send_is_not_mixed_with_it"
_ONCE: Final = "a_message_arrives_once"
_ONE_BY_ONE: Final = "one_message_after_another_arrives"
_CONCURRENT: Final = "concurrent_messages_do_not_mix"
_AWKWARD: Final = "awkward_texts_arrive_intact"
_WHOLE: Final = "the_longest_message_arrives_whole"
_EVERY: Final = "every_message_arrives_intact"
_NAMED: Final = "a_receipt_names_the_message"
_DOUBT: Final = "a_lost_answer_leaves_a_doubt"
_RECEIVED: Final = "a_receipt_says_nothing_private"
_ELSEWHERE: Final = "another_process_gives_the_same_name"
_SAME_NAME: Final = "each_attempt_carries_the_same_name"

SENDER_MUTANTS: Final[dict[str, tuple[type[MemorySender], list[str]]]] = {
    "errors are swallowed": (SwallowsErrors, [_REFUSED, _BUSY, _HANGS, _GONE, _RECOVERS]),
    "every trouble is taken for a refusal": (GivesUpAtOnce, [_BUSY, _HANGS, _GONE]),
    "every refusal is taken for a trouble": (NeverGivesUp, [_REFUSED]),
    "a bare OSError": (RaisesWhatItGets, [_GONE, _RECOVERS, _DISCREET]),
    "a bare TimeoutError": (LetsTimeoutsOut, [_HANGS, _RECOVERS, _DISCREET]),
    "delivers twice": (DeliversTwice, [_ONCE, _ONE_BY_ONE, _EVERY]),
    "sends again by itself": (TriesAgainItself, [_ONCE, _CONCURRENT]),
    "delivers nothing": (DeliversNothing, [_ONCE, _ONE_BY_ONE, _REFUSED, _BUSY]),
    "the last line is dropped": (
        on_body(lambda body: body.rpartition("\n")[0] or body),
        [_ONE_BY_ONE, _CONCURRENT, _AWKWARD, _EVERY],
    ),
    "long lines are cut": (
        on_body(lambda body: "\n".join(line[:998] for line in body.split("\n"))),
        [_AWKWARD],
    ),
    "leading dots are lost": (
        on_body(lambda body: "\n".join(line.removeprefix(".") for line in body.split("\n"))),
        [_AWKWARD],
    ),
    "ends at a lone dot": (on_body(lambda body: body.partition("\n.\n")[0]), [_AWKWARD]),
    "white space is trimmed": (on_body(str.strip), [_AWKWARD]),
    "what is not ASCII is replaced": (
        on_body(lambda body: body.encode("ascii", "replace").decode()),
        [_AWKWARD, _WHOLE, _EVERY],
    ),
    "long bodies are cut": (on_body(lambda body: body[:65_535]), [_WHOLE]),
    "the subject is lost": (LosesTheSubject, [_ONCE, _AWKWARD, _EVERY]),
    "concurrent messages are mixed": (MixesConcurrentMessages, [_CONCURRENT, _AWKWARD, _EVERY]),
    "cancelled messages are mixed in": (SendsWhatWasCancelled, [_USABLE, _UNMIXED]),
    "sessions are lost": (LosesItsSessions, [_RECOVERS, _USABLE]),
    "cancelling is ignored": (IgnoresCancellation, [_ENDS]),
    "waits for ever": (WaitsForEver, [_HANGS]),
    "the recipient is told": (Indiscreet, [_DISCREET]),
    "the content is told": (Talkative, [_DISCREET]),
    "the recipient is told in a code": (IndiscreetInItsCode, [_DISCREET]),
    "the recipient is told in a reply": (receiving(reply="queued for <{0.to}>"), [_RECEIVED]),
    "the content is told in a code": (receiving(code="250 {0.subject}"), [_RECEIVED]),
    "the recipient is told in a name": (
        receiving(provider_message_id="{0.to}/1"),
        [_RECEIVED, _CONCURRENT],
    ),
    "a reply of several lines": (receiving(reply="2.0.0 ok\n2.0.0 queued"), [_RECEIVED]),
    "a lost answer is no doubt": (NeverInDoubt, [_DOUBT]),
    "a busy provider is a doubt": (AlwaysInDoubt, [_BUSY]),
    "what was lost is sent again": (SendsWhatWasLostAgain, [_DOUBT, _SAME_NAME]),
    "a time to wait is negative": (WaitsForThePast, [_BUSY]),
    "each attempt has another name on the wire": (NamesAnew, [_SAME_NAME]),
    "each process has other names": (NamesAfterItsProcess, [_ELSEWHERE]),
    "an error of several lines": (LongWinded, [_DISCREET]),
    "receipts are empty": (naming(lambda *_: ""), [_NAMED, _CONCURRENT]),
    "receipts are alike": (naming(lambda *_: "ok"), [_CONCURRENT, _SAME_NAME]),
    "each attempt has another name": (
        naming(lambda sender, name: f"{name}-{len(sender.delivered)}"),
        [_SAME_NAME],
    ),
}
"""Each defect, and contract tests that must catch it."""
