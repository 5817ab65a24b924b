"""Texts that have broken senders and stores before: worth a try in any test."""

from typing import Final

TEXTS: Final = [
    "Zażółć gęślą jaźń",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "e\u0301 is not \u00e9",
    "right \u202eto left\u202c, \u05e9\u05dc\u05d5\u05dd",
    "\ufeffmarked\u200b\u00a0wide\u3000",
    "İstanbul stra\u1e9ee \ufb01n",
    "\U0010ffff \ufffd \ue000",
    "=?UTF-8?Q?=0D=0ABcc:_eve=40example.com?=",
    "'; DROP TABLE notification; -- %s {0} \\n $1 \\",
    " spaces around ",
]
"""Each is a subject as well as a body."""

LINES: Final = [
    "one\ntwo\nthree",
    "one\r\ntwo\r\n",
    "one\rtwo",
    ".\n..\n.a",
    "before\r\n.\r\nafter",
    "before\n.\nafter\r.\rend",
    "From the beginning\nTo: eve@example.com\n\nHi",
    "\n\n  indented\n\n",
    "ends in half a line end\r",
    "tab\there \x0b\x0c\x1b\x85\u2028\u2029",
]
"""Each is a body, of several lines or with characters that no subject may have."""
