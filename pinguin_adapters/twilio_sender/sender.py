"""The sender of SMS: what the dispatcher calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from pinguin_adapters.twilio_sender.account import TwilioAccount
from pinguin_adapters.twilio_sender.attribution import Attributions
from pinguin_adapters.twilio_sender.listing import (
    LONGEST_PAGE,
    MOST_PAGES,
    Listed,
    filters_for,
    page_in,
)
from pinguin_adapters.twilio_sender.messages import MessagesResource, NoReply
from pinguin_adapters.twilio_sender.replies import (
    Reply,
    Verdict,
    judge,
    refusal,
    refusal_to_list,
)
from pinguin_core.errors import TransientDeliveryError
from pinguin_core.history import Attempt
from pinguin_core.message import Sms
from pinguin_core.notification import Receipt
from pinguin_core.ports import IsTaken
from pinguin_core.quoting import Text, quotations
from pinguin_core.values import NotificationId

_LONGEST_REPLY: Final = 64 * 1024  # bytes that are read; Twilio's have about 1 KiB
_LOOK_UP: Final = timedelta(seconds=5)
"""How long looking a message up may take: with its settling and the sending that may follow, it
stays within what a dispatcher grants an attempt."""

_LEAST: Final = 0.001  # seconds; to aiohttp, none are any number

_FOUND: Final = "found among Twilio's messages: an earlier attempt had sent it"


class TwilioSender:
    """Delivers SMS through Twilio's Messages API, inside its `async with` block.

    Connections are kept and reused. Redirects are not followed; proxies and credentials from the
    environment (`HTTPS_PROXY`, `.netrc`) are ignored, so that the token goes where the account
    says and nowhere else. Twilio's SID for the message is the receipt's `provider_message_id`.

    Before a message is sent again after an attempt whose outcome is in doubt, Twilio's own list is
    looked at (see `Reconciler`); what is there is not sent again.

    Args:
        connect_timeout: how long opening a connection may take, from name look-up to TLS.
        operation_timeout: how long handing over a message may take, connecting included.
        settling: how long a message may take to appear in Twilio's list; up to 5 seconds.
    """

    def __init__(
        self,
        account: TwilioAccount,
        *,
        connect_timeout: timedelta = timedelta(seconds=5),
        operation_timeout: timedelta = timedelta(seconds=30),
        settling: timedelta = timedelta(seconds=5),
    ) -> None:
        self._account = account
        self._messages = MessagesResource(account, connect_timeout=connect_timeout)
        self._operation_timeout = operation_timeout
        self._settling = settling
        self._attributions = Attributions()

    async def __aenter__(self) -> Self:
        await self._messages.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._messages.__aexit__(kind, error, traceback)

    async def send(self, message: Sms, *, id: NotificationId, date: datetime) -> Receipt:  # noqa: ARG002 (an SMS has none)
        """Hand one SMS to Twilio. See `Sender.send`."""
        with self._attributions.sending(message):
            reply = await self._create(message)
            if judge(reply) is Verdict.SENT and reply.sid is not None:
                self._attributions.own(reply.sid, id)
                return Receipt(reply.sid, str(reply.status))
        raise refusal(reply, datetime.now(UTC), self._private(message, reply))

    async def find_sent(
        self, message: Sms, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        """Look an SMS up in Twilio's list. See `Reconciler.find_sent`."""
        await self._settle(doubts[-1].ended_at)
        listed = await self._left_by(message, doubts)
        unknown = [each for each in listed if not await is_taken(each.sid)]
        free = [each for each in unknown if self._attributions.may_own(each.sid, id)]
        if not free:
            return None
        if self._attributions.is_being_sent(message):
            problem = "Twilio: not sent again yet: the same text is on its way to the same number"
            raise TransientDeliveryError(problem)
        self._attributions.own(free[0].sid, id)
        return Receipt(free[0].sid, "200", _FOUND, found=len(free) == 1)

    async def _left_by(self, message: Sms, doubts: Sequence[Attempt]) -> Sequence[Listed]:
        """Return the messages in Twilio's list that the attempts may have left, oldest first."""
        time = asyncio.get_running_loop().time
        end = time() + min(_LOOK_UP, self._operation_timeout).total_seconds()
        found: dict[str, Listed] = {}  # what is new there meanwhile moves some to the next page
        rest: str | None = None
        for _ in range(MOST_PAGES):
            reply = await self._list(message, rest, timedelta(seconds=max(end - time(), _LEAST)))
            now = datetime.now(UTC)
            page = page_in(message, self._account.from_number, doubts, reply, now)
            if judge(reply) is not Verdict.SENT or page is None:
                raise refusal_to_list(reply, now, self._private(message, reply))
            found.update((each.sid, each) for each in page.found)
            rest = page.rest
            if rest is None:
                return sorted(found.values(), key=lambda listed: listed.created_at)
        problem = "Twilio: looking up an earlier attempt: too many messages to the same number"
        raise TransientDeliveryError(problem)

    async def _settle(self, since: datetime) -> None:
        """Give Twilio the time to list what it has taken until a moment."""
        left = since + self._settling - datetime.now(UTC)
        if left > timedelta(0):
            await asyncio.sleep(min(left, self._settling).total_seconds())

    async def _create(self, message: Sms) -> Reply:
        form = {
            "To": message.to.value,
            "From": self._account.from_number.value,
            "Body": message.body,
        }
        try:
            return await self._messages.create(
                form, limit=self._operation_timeout, longest=_LONGEST_REPLY
            )
        except NoReply as error:
            raise TransientDeliveryError(
                f"Twilio: {error.reason}", ambiguous=error.may_have_arrived, of_provider=True
            ) from None

    async def _list(self, message: Sms, rest: str | None, limit: timedelta) -> Reply:
        filters = filters_for(message, self._account.from_number)
        try:
            if rest is not None:
                return await self._messages.list_on(rest, limit=limit, longest=LONGEST_PAGE)
            return await self._messages.list(filters, limit=limit, longest=LONGEST_PAGE)
        except NoReply as error:
            raise TransientDeliveryError(
                f"Twilio: looking up an earlier attempt: {error.reason}", of_provider=True
            ) from None

    def _private(self, message: Sms, reply: Reply) -> Sequence[str]:
        """Say what of a reply must not be shown, should Twilio repeat the message or the token."""
        quoted = quotations(reply.message, [Text(message.body)])
        return (message.to.value, message.body, self._account.auth_token, *quoted)
