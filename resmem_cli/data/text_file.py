"""A text table as it is found: decoded, without what stands above its header, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from resmem_cli.data import streams, structure
from resmem_cli.data.dialect import COMMA, PLAIN, UTF_8, Dialect, shown
from resmem_cli.data.sources import Format, Source
from resmem_cli.data.structure import Structure
from resmem_cli.data.tab_quoting import TAB
from resmem_cli.data.transcoding import Utf8

SEPARATORS = {Format.CSV: COMMA, Format.TSV: TAB}
_HEAD_BYTES = 1 << 16
_MOST_SKIPPED_BYTES = 64 << 20


@dataclass(frozen=True)
class TextFile:
    """An opened text table.

    Attributes:
        raw: gives its bytes in UTF-8, after those of the `head`.
        head: the first of them, from the header on.
        separator: between its values.
        dialect: how it is written.
    """

    raw: Any
    head: bytes
    separator: str
    dialect: Dialect


@dataclass(frozen=True)
class HowToRead:
    """What is known of text files before they are opened.

    Attributes:
        forced: what the user says.
        stored: the dialect of the training file; None if this is it.
    """

    forced: Dialect = PLAIN
    stored: Dialect | None = None


AS_FOUND = HowToRead()


def opened(source: Source, raw: Any, how: HowToRead, notes: list[str]) -> TextFile:
    """Return a text table whose bytes `raw` gives; what is unlike the training file is noted.

    Raises:
        DataError: it is no text, but a compressed file or a table of another format.
        UnicodeError: its beginning is not in the encoding that is forced.
    """
    form = source.format or Format.CSV
    stored = how.stored or PLAIN
    usual = SEPARATORS[form]
    expected = usual if form is Format.TSV else stored.delimiter or usual
    decoded = Utf8(raw, forced=how.forced.encoding, expected=stored.encoding, head_bytes=_HEAD_BYTES)
    streams.refuse_no_text(source, decoded.start)
    head = decoded.read(_HEAD_BYTES)
    layout = _layout(head, how, expected)
    for _ in range(layout.n_above):
        head = _without_line(head, decoded)
    separator = layout.separator
    dialect = replace(
        how.forced.over(stored),
        delimiter=None if separator == usual else separator,
        encoding=decoded.encoding or UTF_8,
        skip_rows=layout.n_above,
        separator=separator,
    )
    if how.stored is not None:
        is_told = how.forced.decimal is not None
        is_odd = separator != expected or separator == dialect.point
        is_assumed = is_odd and how.forced.delimiter is None and not is_told
        dialect = replace(dialect, is_assumed=is_assumed, is_told=is_told)
    notes += _differences(source, dialect, how, is_delimited_so=separator == expected)
    return TextFile(decoded, head, separator, dialect)


def _layout(head: bytes, how: HowToRead, expected: str) -> Structure:
    text = head.decode(errors="replace")
    is_whole, forced = len(head) < _HEAD_BYTES, how.forced
    found = structure.found(
        text, is_whole=is_whole, expected=expected, delimiter=forced.delimiter, n_above=forced.skip_rows
    )
    usual = None if how.stored is None else how.stored.skip_rows
    if usual and found.n_above == 0 and forced.skip_rows is None:
        # What was above the training file's header may not look like titles; it does not look like the rows either.
        below = structure.found(text, is_whole=is_whole, expected=found.separator, delimiter=None, n_above=usual)
        if structure.n_values(text, found.separator) != found.n_fields == below.n_fields:
            return below
    return found


def _without_line(head: bytes, decoded: Utf8) -> bytes:
    """Return bytes from the next line on, more of them where the line is longer."""
    while len(head) <= _MOST_SKIPPED_BYTES:
        line = head.splitlines(keepends=True)[:1]
        if line and len(line[0]) < len(head):
            return head[len(line[0]) :]
        more = decoded.read(max(_HEAD_BYTES, len(head)))
        if not more:
            break
        head += more
    return b""


def _differences(source: Source, dialect: Dialect, how: HowToRead, *, is_delimited_so: bool) -> list[str]:
    """Return a note on how a file is written unlike the training file, if it is and the user has not said so."""
    if how.stored is None:
        return []
    said, differs = how.forced, []
    if not is_delimited_so and said.delimiter is None:
        differs.append(f"delimited by '{dialect.separator}'" if dialect.separator != TAB else "delimited by tabs")
    if dialect.encoding not in (how.stored.encoding or UTF_8, UTF_8) and said.encoding is None:
        differs.append(f"in {shown(dialect.encoding)}")
    if dialect.skip_rows and dialect.skip_rows != how.stored.skip_rows and said.skip_rows is None:
        differs.append(f"with {dialect.skip_rows} line{'s' * (dialect.skip_rows > 1)} above its header")
    if not differs:
        return []
    return [f"{source.name} is {' and '.join(differs)}, unlike the training file, and is read so"]
