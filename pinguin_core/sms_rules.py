"""What a service accepts as an SMS: rules of its operator, who pays for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pinguin_core.errors import InvalidValue
from pinguin_core.folding import fold_typography
from pinguin_core.message import MAX_SMS_TEXT, Sms

_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class SmsRules:
    """What is asked of an SMS besides being one; at first, nothing.

    Attributes:
        max_segments: of how many segments it may consist, 1 or more; any number if absent.
        allowed_prefixes: how its recipient's number must begin, as in `+1` or `+4930`: one of
            these, or anything if there is none.
        fold_typography: whether typographic characters give way to plain ones where GSM-7 has
            room for the whole text then; see `pinguin_core.folding`.

    Raises:
        InvalidValue: for a number out of range, or what is no prefix of a number in E.164 form.
    """

    max_segments: int | None = None
    allowed_prefixes: Sequence[str] = ()
    fold_typography: bool = False

    def __post_init__(self) -> None:
        if self.max_segments is not None and self.max_segments < 1:
            raise InvalidValue("max_segments", "must be 1 or more")
        if not all(map(_PREFIX.fullmatch, self.allowed_prefixes)):
            problem = "must each be '+' and the first digits of a number, as in +1 or +4930"
            raise InvalidValue("allowed_prefixes", problem)

    def admit(self, sms: Sms) -> Sms:
        """Return an SMS as it is to be stored and sent.

        Raises:
            InvalidValue: if it is not accepted; the field is `phone_number` or `body`.
        """
        self._check_recipient(sms)
        admitted = self._folded(sms)
        if self.max_segments is not None and admitted.segments > self.max_segments:
            problem = (
                f"must have at most {self.max_segments} SMS segments, and has {admitted.segments}"
            )
            raise InvalidValue("body", problem)
        return admitted

    def _check_recipient(self, sms: Sms) -> None:
        allowed = tuple(self.allowed_prefixes)
        if allowed and not sms.to.value.startswith(allowed):
            problem = (
                f"must begin with {' or '.join(allowed)}: SMS to other numbers are not allowed"
            )
            raise InvalidValue("phone_number", problem)

    def _folded(self, sms: Sms) -> Sms:
        if not self.fold_typography or sms.body.isascii():
            return sms
        body = fold_typography(sms.body)
        return sms if len(body) > MAX_SMS_TEXT else replace(sms, body=body)
