from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_core.masking import mask_address, mask_number, mask_text, scrub

LOCAL = st.from_regex(r"[a-z0-9][a-z0-9.+_%=-]{1,40}[a-z0-9]", fullmatch=True)
WORDS = st.text(max_size=60)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("sam@example.com", "s•••@example.com"),
        ("s@example.com", "s•••@example.com"),
        ('"sam spade"@example.com', "s•••@example.com"),
        ("ünal@exämple.com", "ü•••@exämple.com"),
        ("a@b@example.com", "a•••@example.com"),
        ("no address", "•••"),
        ("", "•••"),
    ],
)
def test_an_address_keeps_its_first_character_and_its_domain(address: str, masked: str) -> None:
    assert mask_address(address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+15550100123", "+1•••0123"),
        ("15550100123", "1•••0123"),
        ("+123456789", "+1•••6789"),
        ("+12345678", "+1•••"),
        ("+12", "+1•••"),
        ("", "•••"),
    ],
)
def test_a_number_never_shows_more_than_half_of_itself(number: str, masked: str) -> None:
    assert mask_number(number) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("<sam@example.com>: no such user", "<s•••@example.com>: no such user"),
        ('"sam spade"@example.com is full', "s•••@example.com is full"),
        ("to=sam@example.com,eve@example.com", "t•••@example.com,e•••@example.com"),
        ("sam@[192.0.2.1] refused", "s•••@[192.0.2.1] refused"),
        ("sam@localhost", "s•••@localhost"),
        ("The 'To' number +15550100123 is not valid", "The 'To' number +1•••0123 is not valid"),
        ("whatsapp:+15550100123", "whatsapp:+1•••0123"),
        ("call +1 (555) 010-0123.", "call +1•••0123."),
        ("call 555.010.0123", "call 5•••0123"),
        ("see a+15550100123", "see a+1•••0123"),
        ("client 192.168.100.200 is blocked", "client 192.168.100.200 is blocked"),
        ("queued as 4C9F1B22A0", "queued as 4C9F1B22A0"),
        ("error 21211, see 5.1.1", "error 21211, see 5.1.1"),
    ],
)
def test_what_looks_like_an_address_or_a_number_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@given(before=WORDS, local=LOCAL, after=WORDS)
def test_no_address_survives_in_any_text(before: str, local: str, after: str) -> None:
    masked = mask_text(f"{before} {local}@example.com {after}")
    assert f"{local}@" not in masked


@given(digits=st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), before=WORDS, after=WORDS)
def test_no_number_survives_in_any_text(digits: str, before: str, after: str) -> None:
    masked = mask_text(f"{before} call +{digits}, please {after}")
    assert f"+{digits}" not in masked


@given(text=st.text(), limit=st.integers(1, 300))
def test_scrubbed_text_is_one_short_line(text: str, limit: int) -> None:
    scrubbed = scrub(text, limit=limit)
    assert len(scrubbed) <= limit
    assert len(scrubbed.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", scrubbed)


@pytest.mark.parametrize(
    ("text", "hide", "scrubbed"),
    [
        ("user ada unknown", ["ada"], "user ••• unknown"),
        ("user ADA unknown", ["ada"], "user ••• unknown"),
        ("Canada unknown", ["ada"], "Canada unknown"),
        ("got 'AGFkYQBzZWNyZXQ='", ["AGFkYQBzZWNyZXQ="], "got '•••'"),
        ("a+b refused", ["a+b", ""], "••• refused"),
        ("one\r\ntwo\x1b[2J\u202ethree", [], "one two [2J three"),
        ("correct\r\n horse", ["correct  horse"], "•••"),
        ("x" * 201, [], "x" * 199 + "…"),
    ],
)
def test_scrubbing_hides_what_it_is_told_to(text: str, hide: list[str], scrubbed: str) -> None:
    assert scrub(text, hide) == scrubbed


@pytest.mark.parametrize("before", range(1000, 1030))
def test_a_secret_is_not_shown_in_part_where_a_long_text_is_cut(before: int) -> None:
    """All before it is hidden too, so that the place would be among what is shown."""
    filling = ("x" * 100 + " ") * 10
    text = f"{filling:>{before}} correct horse".replace("x" * 100, "y" * 100)
    assert "co" not in scrub(text + " and so on" * 9, ["y" * 100, "correct horse"])


@pytest.mark.parametrize(
    "unit", ["a", "1", "1 ", "a@", "@", '"', '"a', "+", "( 1", ".", "1.", "\n", "1a"]
)
def test_hostile_text_costs_next_to_nothing(unit: str) -> None:
    """A regular expression that backtracks would take CPU minutes here, not a part of a second."""
    started = time.process_time()
    scrub(unit * 100_000)
    assert time.process_time() - started < 3
