"""What every store and every sender promises, as tests that their authors inherit."""

import pytest

WITH_ASSERTS = [
    "claiming",
    "counting",
    "delivering",
    "handling",
    "keeping",
    "laws",
    "lifecycle",
    "model",
    "racing",
    "reconciling",
    "sender",
    "troubles",
]
# Before they are imported, so that a failing assert in them shows what it compared.
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in WITH_ASSERTS))

from pinguin_core.testing.contracts.counting import SmsLedgerContract  # noqa: E402 (see above)
from pinguin_core.testing.contracts.lifecycle import RetryPolicyContract  # noqa: E402 (see above)
from pinguin_core.testing.contracts.provider import (  # noqa: E402 (see above)
    Arrival,
    Behaviour,
    Provider,
)
from pinguin_core.testing.contracts.repository import (  # noqa: E402 (see above)
    NotificationRepositoryContract,
)
from pinguin_core.testing.contracts.sender import (  # noqa: E402 (see above)
    EmailSenderContract,
    SmsReconcilerContract,
    SmsSenderContract,
)
from pinguin_core.testing.contracts.storage import Connect  # noqa: E402 (see above)

__all__ = [
    "Arrival",
    "Behaviour",
    "Connect",
    "EmailSenderContract",
    "NotificationRepositoryContract",
    "Provider",
    "RetryPolicyContract",
    "SmsLedgerContract",
    "SmsReconcilerContract",
    "SmsSenderContract",
]
