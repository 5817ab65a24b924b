"""What of a relay's words comes from the message: some relays repeat what they refuse."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from pinguin_core.masking import one_line

_RUN: Final = 3
"""So many words in a row, common ones too, are a quotation if they stand in the message."""

_SHORT: Final = 256
_MOST_TELLING: Final = 50
_LEAST_TELLING: Final = 4
_WORD = re.compile(r"\w+")
_CHUNK = re.compile(r"[^\s<>()\[\]\"',;]+")
_ENCODED: Final = "=?"  # RFC 2047: whatever it says, it is from the header


def quotations(said: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield the parts of a relay's words that repeat one of the texts.

    They are single words that would tell something, such as links and codes, and runs of three and
    more; of a shorter text, all of it. Case and punctuation do not matter, and the last word may be
    cut off. Single common words are not hidden: without them no reply could be read.
    """
    said = one_line(said)
    folded = {text: text.casefold() for text in texts}
    yield from _telling(said, folded.values())
    found = list(_WORD.finditer(said))
    words = [word[0].casefold() for word in found]
    quoted = {place for text in folded for place in _quoted(words, text, folded[text])}
    for first, last in _spans(quoted):
        yield said[found[first].start() : found[last].end()]


def _telling(said: str, texts: Iterable[str]) -> Iterator[str]:
    chunks = {chunk.strip(".:!?…") for chunk in _CHUNK.findall(said)}
    telling = {part for part in chunks.union(_WORD.findall(said)) if _tells(part)}
    # To look for many in a long text takes long; of such a reply, they are all hidden.
    few = len(telling) <= _MOST_TELLING
    for part in telling:
        if not few or part.startswith(_ENCODED) or any(part.casefold() in text for text in texts):
            yield part


def _tells(part: str) -> bool:
    is_plain = part.isascii() and part.isalpha()
    return len(part) >= _LEAST_TELLING and not is_plain


def _quoted(words: Sequence[str], text: str, folded: str) -> Iterator[int]:
    """Yield the places of those words that stand in a text in the same order."""
    if len(text) > _SHORT and not _may_be_quoted(words, folded):
        return
    theirs = [word.casefold() for word in _WORD.findall(text)]
    width = min(_RUN, len(theirs))
    followers = _followers(theirs, width, set(_runs(words, width)))
    for place, run in enumerate(_runs(words, width)):
        if run in followers:
            yield from range(place, place + width)
            after = "".join(words[place + width : place + width + 1])
            if after and any(other.startswith(after) for other in followers[run]):
                yield place + width


def _may_be_quoted(words: Sequence[str], folded: str) -> bool:
    """Tell whether it is worth taking a text to pieces, which takes long if it is long."""
    known = {word: word in folded for word in set(words)}
    return any(all(known[word] for word in run) for run in _runs(words, _RUN))


def _followers(
    words: Sequence[str], width: int, wanted: set[tuple[str, ...]]
) -> Mapping[tuple[str, ...], set[str]]:
    """Return those wanted runs that there are, and the words that follow them."""
    followers: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for run, after in zip(_runs(words, width), [*words[width:], ""], strict=False):
        if run in wanted:
            followers[run].add(after)
    return followers


def _runs(words: Sequence[str], width: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[first:] for first in range(width)), strict=False)


def _spans(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join neighbours: yield the first and the last place of each group."""
    ordered = sorted(places)
    ends = [left for left, right in pairwise(ordered) if right - left > 1]
    starts = [right for left, right in pairwise(ordered) if right - left > 1]
    return zip([*ordered[:1], *starts], [*ends, *ordered[-1:]], strict=True)
