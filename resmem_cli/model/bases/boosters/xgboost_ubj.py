"""Whether UBJSON is whole: where it is not, XGBoost reads on beyond its end, and asks for memory without bound."""

from __future__ import annotations

# The bytes of a value by what stands before it: integers, floats, and words that say it all.
_INTEGERS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
_SIZES = {**_INTEGERS, b"d": 4, b"D": 8, b"C": 1, b"T": 0, b"F": 0, b"Z": 0}


def is_ubj(data: bytes) -> bool:
    """Whether an object is UBJSON rather than JSON: its keys begin with their length instead of a quotation mark."""
    return data[:1] == b"{" and data[1:2] in _INTEGERS


def refuse_damaged(data: bytes) -> None:
    """Refuse UBJSON that ends before its last value does, or goes on after it.

    Raises:
        ValueError: it is such.
    """
    try:
        is_whole = _end(data, 0) == len(data)
    except (KeyError, RecursionError):
        is_whole = False
    if not is_whole:
        raise ValueError("it is damaged")


def _end(data: bytes, at: int) -> int:
    """Return where the value ends that begins at a position; KeyError if it is none, as beyond the end."""
    marker, at = data[at : at + 1], at + 1
    if marker == b"S":
        length, at = _length(data, at)
        return at + length
    if marker == b"[":
        return _end_of_array(data, at)
    if marker != b"{":
        return at + _SIZES[marker]
    while data[at : at + 1] != b"}":
        length, at = _length(data, at)
        at = _end(data, at + length)
    return at + 1


def _end_of_array(data: bytes, at: int) -> int:
    kind = None
    if data[at : at + 1] == b"$":
        kind, at = data[at + 1 : at + 2], at + 2
    if data[at : at + 1] != b"#":
        while data[at : at + 1] != b"]":
            at = _end(data, at)
        return at + 1
    count, at = _length(data, at + 1)
    if kind is not None:
        return at + count * _SIZES[kind]
    for _ in range(count):
        at = _end(data, at)
    return at


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length and where it ends."""
    end = at + 1 + _INTEGERS[data[at : at + 1]]
    length = int.from_bytes(data[at + 1 : end], "big", signed=True)
    if length < 0:
        raise KeyError
    return length, end
