"""What of a provider's words comes from the message: some repeat what they refuse.

A message may be large, and while it is searched nothing else happens. So only the reply is taken to
pieces, and these are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final

from pinguin_core.masking import one_line

_RUN: Final = 3
"""So many words in a row, common ones too, are a quotation if they stand in the message."""

_SHORT: Final = 256  # characters
_LONG: Final = 64 * 1024  # characters
_MOST_LOOKED_FOR: Final = 512  # characters of a reply; less than half of that is shown
_MOST_TELLING: Final = 20
_LEAST_TELLING: Final = 4
_WORD = re.compile(r"\w+")
_CHUNK = re.compile(r"[^\s<>()\[\]\"',;]+")
_ENCODED: Final = "=?"  # RFC 2047: whatever it says, it is from the header
_ASCII: Final = bytes(range(128))
_ONLY_WORDS: Final = bytes(
    byte if byte not in _ASCII or _WORD.match(chr(byte)) else ord(" ") for byte in range(256)
)


class Text:
    """A text that a provider may repeat, and what is found out of it, one reply after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._text)

    def has(self, part: str) -> bool:
        """Tell whether something folded stands in it, if only within words."""
        if part not in self._known:
            self._known[part] = part in self._folded
        return self._known[part]

    def has_run(self, words: Sequence[str], *, cut_off: bool = False) -> bool:
        """Tell whether folded words stand in it in this order; the last one may be cut off."""
        if not all(map(self.has, sorted(words, key=len, reverse=True))):
            return False
        run = _spaced(" ".join(words))
        return (run.rstrip() if cut_off else run) in self._words

    @cached_property
    def shortest_run(self) -> int:
        """How many words in a row are a quotation; of a short text, all that there are."""
        if len(self) > _SHORT:
            return _RUN
        return len(self._words.split(maxsplit=_RUN - 1))

    @cached_property
    def _folded(self) -> str:
        return self._text.casefold()

    @cached_property
    def _words(self) -> bytes:
        return _spaced(self._folded)


def _spaced(folded: str) -> bytes:
    """Return the words of a text with one space before and after each; in UTF-8, which is quick."""
    words = f" {folded} ".encode(errors="replace").translate(_ONLY_WORDS)
    for char in set(words.translate(None, _ASCII).decode()):
        if not _WORD.match(char):
            words = words.replace(char.encode(), b" ")
    while b"  " in words:
        words = words.replace(b"  ", b" ")
    return words


def quotations(said: str, texts: Sequence[Text]) -> Iterator[str]:
    """Yield the parts of a provider's words that repeat one of the texts.

    They are single words that would tell something, such as links and codes, and runs of three and
    more; of a shorter text, all of it. Case and punctuation do not matter, and the last word may be
    cut off. Single common words are not hidden: without them no reply could be read.

    In long texts only the beginning of a long reply is looked for; the rest counts as a quotation.
    """
    said = one_line(said)
    if len(said) > _MOST_LOOKED_FOR and sum(map(len, texts)) > _LONG:
        end = max(0, said.rfind(" ", 0, _MOST_LOOKED_FOR // 2))
        yield said[end:]
        said = said[:end]
    yield from _telling(said, texts)
    found = list(_WORD.finditer(said))
    words = [word[0].casefold() for word in found]
    quoted = {place for text in texts for place in _quoted(words, text)}
    for first, last in _spans(quoted):
        yield said[found[first].start() : found[last].end()]


def _telling(said: str, texts: Sequence[Text]) -> Iterator[str]:
    chunks = {chunk.strip(".:!?…") for chunk in _CHUNK.findall(said)}
    telling = {part for part in chunks.union(_WORD.findall(said)) if _tells(part)}
    # To look for many in a long text takes long; of such a reply, they are all hidden.
    few = len(telling) <= _MOST_TELLING
    for part in telling:
        is_hidden = not few or part.startswith(_ENCODED)
        if is_hidden or any(text.has(part.casefold()) for text in texts):
            yield part


def _tells(part: str) -> bool:
    is_plain = part.isascii() and part.isalpha()
    return len(part) >= _LEAST_TELLING and not is_plain


def _quoted(words: Sequence[str], text: Text) -> Iterator[int]:
    """Yield the places of those words that stand in a text in the same order."""
    width = text.shortest_run
    for place in range(len(words) - width + 1):
        if text.has_run(words[place : place + width]):
            yield from range(place, place + width)
            if text.has_run(words[place : place + width + 1], cut_off=True):
                yield from range(place + width, min(place + width + 1, len(words)))


def _spans(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join neighbours: yield the first and the last place of each group."""
    ordered = sorted(places)
    ends = [left for left, right in pairwise(ordered) if right - left > 1]
    starts = [right for left, right in pairwise(ordered) if right - left > 1]
    return zip([*ordered[:1], *starts], [*ends, *ordered[-1:]], strict=True)
