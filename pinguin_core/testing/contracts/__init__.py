"""What every store and every sender promises, as tests that their authors inherit."""

import pytest

# Before they are imported, so that a failing assert in them shows what it compared.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("claiming", "keeping", "laws", "model", "racing"))
)

from pinguin_core.testing.contracts.repository import NotificationRepositoryContract  # noqa: E402 (see above)
from pinguin_core.testing.contracts.storage import Connect  # noqa: E402 (see above)

__all__ = ["Connect", "NotificationRepositoryContract"]
