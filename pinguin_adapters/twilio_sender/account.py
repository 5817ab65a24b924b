"""The account: on whose behalf, and from which number, SMS are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from pinguin_core.values import PhoneNumber


@dataclass(frozen=True)
class TwilioAccount:
    """A Twilio account, and where its API is.

    Attributes:
        sid: the account's name, as in `AC…`.
        base_url: where the API is; to be changed for tests and proxies only.
    """

    sid: str
    auth_token: str = field(repr=False)
    from_number: PhoneNumber
    base_url: str = "https://api.twilio.com"

    @property
    def messages_url(self) -> str:
        """Where messages are posted to (https://www.twilio.com/docs/messaging/api)."""
        sid = quote(self.sid, safe="")
        return self.url_of(f"/2010-04-01/Accounts/{sid}/Messages.json")

    def url_of(self, path: str) -> str:
        """Where a path of the API is, which begins with a slash."""
        return f"{self.base_url.rstrip('/')}{path}"
