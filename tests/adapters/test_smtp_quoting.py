"""What of a message a relay's reply may still show, if the relay repeats it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mailing import FROM, TO, send, sender_to
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp

from pinguin_adapters.smtp_sender import mime
from pinguin_adapters.smtp_sender.envelope import Envelope
from pinguin_core import DeliveryError, Email, NotificationId
from pinguin_core.masking import scrub
from pinguin_core.testing.fakes import NOON

SECRET = "Your secret code is 4839-xk29 please keep it to yourself"
PROSE = "This is not a test: no such luck, the user is here, and the message was queued for you"
WORDS = st.lists(st.from_regex(r"[A-Za-zÄÖÜäöüßé]{1,20}", fullmatch=True), max_size=40)


def shown(said: str, subject: str, body: str) -> str:
    """A reply's words as log and history show them."""
    email = Email(TO, subject, body)
    content = mime.build(email, from_address=FROM, id=NotificationId("notif-1"), date=NOON)
    return scrub(said, Envelope(str(FROM), str(TO), content, email).private(said))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"rejected as spam: {SECRET}", "rejected as spam: •••"),
        ("spam: [Your secret code is 4839-xk29 pleas...]", "spam: [•••...]"),
        ("spam: YOUR SECRET, CODE", "spam: •••"),
        ("spam: > Your secret / code is", "spam: > •••"),
        ("spam: Your\r\n\tsecret\x07code", "spam: •••"),
        ("the link code=4839 is bad", "the link code=••• is bad"),
        ("the secret is bad", "the secret is bad"),
    ],
)
@pytest.mark.parametrize(("subject", "body"), [(SECRET, "Hello."), ("Hello", SECRET)])
def test_a_quotation_is_hidden_wherever_it_is_from(
    said: str, left: str, subject: str, body: str
) -> None:
    assert shown(said, subject, body) == left


@pytest.mark.parametrize(
    "said",
    [
        "no such user here",
        "Message queued for delivery",
        "The user you are trying to contact is receiving mail too quickly",
        "Recipient address rejected: Greylisted, see http://postgrey.example/help.html",
        "Service unavailable; client host [192.0.2.1] blocked using a list",
        "Ok: queued as 4C9F1B22A0",
    ],
)
def test_what_relays_say_stays_readable_though_the_message_has_such_words(said: str) -> None:
    assert shown(said, "The message", PROSE) == said


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("spam: Geheimnis!", "spam: •••!"),
        ("spam: geheimnis", "spam: •••"),
        ("spam: =?utf-8?b?R8O8bHRpZw==?=", "spam: •••"),
    ],
)
def test_of_a_short_text_all_is_hidden(said: str, left: str) -> None:
    assert shown(said, "Geheimnis.", "…") == left
    assert shown(said, "", "Geheimnis.") == left


def test_what_is_quoted_as_it_was_encoded_is_hidden() -> None:
    assert shown("spam: Gr=C3=BC=C3=9Fe", "Hi", "The quick brown fox says Grüße") == "spam: •••"
    assert shown("spam: R3LDvMOfZQ0K", "Hi", "Grüße") == "spam: •••"


def test_words_that_are_not_ascii_are_not_a_relay_s() -> None:
    assert shown("spam: geheimnisträger", "Hi", "Der Geheimnisträger weiß es") == "spam: •••"


def runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return set(zip(words, words[1:], words[2:], strict=False))


@given(before=WORDS, body=WORDS, after=WORDS, data=st.data())
def test_no_run_of_three_words_is_shown(
    before: list[str], body: list[str], after: list[str], data: st.DataObject
) -> None:
    words = ["one", *body, "two", "three"]
    start = data.draw(st.integers(0, len(words) - 3))
    end = data.draw(st.integers(start + 3, len(words)))
    separator = data.draw(st.sampled_from([" ", ", ", "\r\n", " / "]))
    said = separator.join([*before, *words[start:end], *after])
    text = " ".join(words)
    left = re.sub(r"\w*…$", "", shown(said, "Hi", text))
    assert not {run for part in left.split("•••") for run in runs(part)} & runs(text)


@pytest.mark.parametrize("gap", range(980, 1040))
def test_what_is_cut_in_two_where_nobody_looks_any_further_is_not_shown(gap: int) -> None:
    """What comes before is hidden, so that the place would be among what is shown."""
    filling = ("Greetings to all of you " * 100)[: gap - 1]
    left = shown(f"{filling} 4839-xk29 is the code", "Hi", filling + SECRET)
    assert "48" not in left


LONG = "Vor dem Regen — und danach.\n" * 4000


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"rejected as spam: {SECRET}", "rejected as spam: •••"),
        ("spam: YOUR secret\r\n\tcode is 4839-xk29 pleas...", "spam: •••..."),
        ("spam: Regen, und danach ... VOR DE", "spam: •••"),
        ("the secret is bad", "the secret is bad"),
        ("Ok: queued as 4C9F1B22A0", "Ok: queued as 4C9F1B22A0"),
    ],
)
def test_a_quotation_of_a_long_text_is_hidden(said: str, left: str) -> None:
    assert shown(said, "Hello", LONG + SECRET.replace(" ", "\n  ")) == left
    assert shown(said, "Hello", LONG.replace("—", "-") + SECRET) == left


def test_combined_characters_are_compared_as_others_are() -> None:
    assert (
        shown("spam: i\u0307 gru\u0308n ist", "Hi", LONG + "I\u0307 GRU\u0308N IST") == "spam: •••"
    )
    assert shown("spam: İ über ist", "Hi", LONG + "Heute: İ ÜBER ist") == "spam: •••"


def test_of_a_long_reply_to_a_long_text_only_what_may_be_shown_is_looked_for() -> None:
    said = " ".join(f"no such user ({number})," for number in range(40))
    *_, hidden = Envelope("", "", b"", Email(TO, "Hi", LONG)).private(said)
    assert said.endswith(hidden)
    assert 200 < len(said) - len(hidden) < 256
    assert shown(said, "Hi", LONG) == shown(said, "Hi", "…")


class Counted(str):
    """A text that counts how often all of it is gone through."""

    __slots__ = ()
    times = 0

    def casefold(self) -> str:
        Counted.times += 1
        return Counted(super().casefold())

    def __contains__(self, part: object) -> bool:
        Counted.times += 1
        return super().__contains__(part)  # type: ignore[operator]


@pytest.fixture
def counted() -> type[Counted]:
    Counted.times = 0
    return Counted


def test_a_long_reply_is_not_compared_with_a_long_text_from_end_to_end(
    counted: type[Counted],
) -> None:
    """It would take long, in which nothing else happens."""
    said = " ".join(f"w{number}x" for number in range(10, 3000))
    email = Email(TO, "Hi", counted("x " * 1000))
    hidden = set(Envelope("", "", b"", email).private(said))
    assert hidden >= set(said[:1000].split()[:-1])
    assert counted.times < len(hidden) + 10


def test_a_long_text_is_searched_once_for_each_word_of_all_replies(counted: type[Counted]) -> None:
    """While that is done nothing else happens."""
    email = Email(TO, "Hi", counted(LONG))
    envelope = Envelope("", "", b"", email)
    for said in ("Ok", "sender ok", "recipient ok", "Ok: queued as 4C9F1B22A0") * 3:
        assert len(list(envelope.private(said))) == 3
    assert counted.times < 7
    assert counted.times > 1


@patient
async def test_a_reason_repeats_nothing_of_the_message() -> None:
    said = "554-5.7.1 rejected: Your secret\r\n554 5.7.1 code is 4839-xk29 pleas..."
    async with ScriptedSmtp({"END": [said]}) as server, sender_to(server) as sender:
        with pytest.raises(DeliveryError) as caught:
            await send(sender, Email(TO, "Hello", SECRET))
    assert caught.value.reason == "SMTP end of message: 554 5.7.1 rejected: •••..."
