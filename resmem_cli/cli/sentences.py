"""Text that is safe to show: what a file or an argument holds may be anything, and a terminal obeys what it is sent."""

from __future__ import annotations

import re

_MOST = 3_000  # characters of a sentence
_MOST_OF_A_VALUE = 200
_HEAD, _TAIL = 120, 40  # of a value that is longer
# What stands in quotes, and words; a quote within a word is an apostrophe.
_VALUES = re.compile(r"(?<!\w)'.*?'(?!\w)|\S+")


def sentence(text: object) -> str:
    """Return a text as one line that can be shown: controls visible, long values and very long texts shortened."""
    shortened = _cut(str(text), _MOST, _MOST * 2 // 3, _MOST // 6)
    return _VALUES.sub(lambda match: _cut(match[0], _MOST_OF_A_VALUE, _HEAD, _TAIL), printable(shortened))


def printable(text: str) -> str:
    r"""Return a text whose controls, also those of writing direction, and invisible characters are escapes as \x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\u3000" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut(text: str, most: int, head: int, tail: int) -> str:
    return text if len(text) <= most else f"{text[:head]}…{text[-tail:]}"
