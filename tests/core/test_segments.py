from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_core import PhoneNumber, Sms
from pinguin_core.segments import Encoding, count_segments, encoding_of

# The two tables of 3GPP TS 23.038 as they are printed, by columns; ESC, which is none, left out.
DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"


def cut(text: str) -> list[str]:
    """Cut a text into segments a character at a time: slow, and plain."""

    def size(part: str) -> int:
        if gsm_7:
            return sum(2 if char in EXTENSION else 1 for char in part)
        return len(part.encode("utf-16-le")) // 2

    gsm_7 = all(char in DEFAULT + EXTENSION for char in text)
    if size(text) <= (160 if gsm_7 else 70):
        return [text]
    segments = [""]
    for char in text:
        if size(segments[-1] + char) > (153 if gsm_7 else 67):
            segments.append("")
        segments[-1] += char
    return segments


def lengths(*around: int) -> st.SearchStrategy[int]:
    return st.sampled_from([length + by for length in around for by in range(-2, 3)])


texts = st.one_of(
    st.text(max_size=400),
    st.builds(str.__mul__, st.sampled_from("aé€ж😀`"), lengths(35, 70, 80, 134, 160, 306, 459)),
    st.text(DEFAULT + EXTENSION, min_size=60, max_size=500),
    st.text("a€", min_size=150, max_size=320),
    st.text("ж😀", min_size=60, max_size=210),
)


@given(texts)
def test_segments_are_counted_as_a_plain_model_cuts_them(text: str) -> None:
    assert count_segments(text) == len(cut(text))


@given(texts, st.characters())
def test_a_longer_text_has_no_fewer_segments(text: str, more: str) -> None:
    assert count_segments(text + more) >= count_segments(text) >= 1


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 159 + "€", 2),
        # 152 and the first half of a double one would be 153.
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("ж" * 66 + "😀" + "ж" * 65, 2),
        ("ж" * 66 + "😀" + "ж" * 66, 3),
        ("a" * 70 + "`", 2),
        ("a" * 1600, 11),
        ("ж" * 1600, 24),
        ("x", 1),
    ],
)
def test_segments_are_full_where_the_standard_says(text: str, segments: int) -> None:
    assert count_segments(text) == segments
    assert Sms(PhoneNumber("+15550100123"), text).segments == segments


def test_the_alphabet_is_that_of_the_standard() -> None:
    assert len(DEFAULT) == 127
    gsm_7 = {chr(point) for point in range(0x110000) if encoding_of(chr(point)) is Encoding.GSM_7}
    assert gsm_7 == set(DEFAULT + EXTENSION)
