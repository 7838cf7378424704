"""Text in any encoding, read as UTF-8 and written as it came."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from resmem_cli.data.dialect import UTF_8, WINDOWS, shown
from resmem_cli.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_START_BYTES = 64
_MOSTLY = 0.8  # of the characters of a text in UTF-16 that have a zero byte, in a table with digits and delimiters
# cp1252 leaves five bytes without a meaning: they are the controls that Latin-1 and browsers take them for.
_WINDOWS_TABLE = "".join(bytes([i]).decode(WINDOWS, "ignore") or chr(i) for i in range(256))

Decode = Callable[[bytes, bool], str]


class Utf8:
    """A stream of bytes in any encoding, read as UTF-8 without a byte order mark.

    Where nothing is said of the encoding, UTF-16 is known by its mark or its zero bytes. Other text is UTF-8 if its
    first bytes beyond ASCII are; else it has one byte per character, in the encoding that is expected. Its `start` are
    the first bytes as they came.
    """

    def __init__(self, raw: Any, *, forced: str | None, expected: str | None, head_bytes: int = 1 << 16) -> None:
        """Look at the head of a stream, of at most so many bytes."""
        self._raw = raw
        head = bytes(raw.read(head_bytes))
        self.start = head[:_START_BYTES]
        mark, found = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", None))
        if forced is not None and not (found == UTF_8 or (forced == "utf-16" and found)):
            found, mark = ("utf-16-le" if forced == "utf-16" else forced), (mark if forced == found else b"")
        self._head = head.removeprefix(mark)
        self.encoding = found or _by_zeros(head)
        is_single = expected not in (None, UTF_8) and not str(expected).startswith("utf-16")
        self._expected = str(expected) if is_single else WINDOWS
        self._decode: Decode | None = None
        if self.encoding not in (None, UTF_8):
            self._decode = decoder(str(self.encoding))

    def read(self, n_bytes: int) -> bytes:
        """Return the UTF-8 of about as many bytes, nothing at the end.

        Raises:
            UnicodeError: it is not in the encoding that is forced, or that its beginning has.
        """
        while True:
            data, self._head = self._head or self._raw.read(n_bytes), b""
            if self.encoding is None and not data.isascii():
                self._decide(data)
            if self._decode is None:
                return bytes(data)
            text = self._decode(data, not data)
            if text or not data:
                return text.encode()

    def _decide(self, data: bytes) -> None:
        """Choose the encoding by the first bytes that tell."""
        try:
            codecs.utf_8_decode(data, "strict", False)
            self.encoding = UTF_8
        except UnicodeDecodeError as error:
            if not data[: error.start].isascii():  # it is UTF-8 before that, and whoever reads it says so
                self.encoding = UTF_8
                return
            self.encoding, self._decode = self._expected, decoder(self._expected)


class _WindowsEncoder:
    """Writes what `decoder` reads of cp1252."""

    def encode(self, text: str) -> bytes:
        return codecs.charmap_encode(text, "strict", codecs.charmap_build(_WINDOWS_TABLE))[0]


class Encoded:
    """A sink of UTF-8 that passes text on in another encoding."""

    def __init__(self, sink: Any, encoding: str) -> None:
        self._sink, self._encoding = sink, encoding
        is_wide = encoding.startswith("utf-16")
        self._encode: Any = _WindowsEncoder() if encoding == WINDOWS else codecs.getincrementalencoder(encoding)()
        self._start = "\ufeff" if is_wide else ""

    def write(self, data: Any) -> None:
        """Take whole characters.

        Raises:
            DataError: the encoding does not have one of them.
        """
        try:
            encoded = self._encode.encode(self._start + bytes(data).decode())
        except UnicodeEncodeError as error:
            lacking = error.object[error.start]
            raise DataError(
                f"'{lacking}' cannot be written in {shown(self._encoding)}, the encoding of the input",
                "write Parquet or JSON lines, or convert the input to UTF-8",
            ) from error
        self._sink.write(encoded)
        self._start = ""


def decoder(encoding: str) -> Decode:
    """Return a function from bytes, and whether they are the last, to text."""
    if encoding == WINDOWS:
        return lambda data, _: codecs.charmap_decode(data, "strict", _WINDOWS_TABLE)[0]
    return codecs.getincrementaldecoder(encoding)().decode


def _by_zeros(head: bytes) -> str | None:
    """Return which UTF-16 a text without a mark is, None if it is not."""
    head = head[: len(head) // 2 * 2]
    n_pairs = len(head) // 2
    if n_pairs < 2 or b"\0" not in head:
        return None
    first, second = head[::2].count(0) / n_pairs, head[1::2].count(0) / n_pairs
    if second >= _MOSTLY and first == 0:
        return "utf-16-le"
    return "utf-16-be" if first >= _MOSTLY and second == 0 else None
