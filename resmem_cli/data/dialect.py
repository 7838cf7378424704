"""How a text table is written: its delimiter and encoding, and what stands for numbers, dates and missing values.

A field that is None is not known: it is detected in every file (encoding, delimiter, lines above the header), or
learned from the whole training file (the marks of numbers). The same object holds what a user forces, what a schema
stores, and what a file was found to be; `over` puts one on top of another.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from resmem_cli import fields as stored_fields
from resmem_cli.data import date_format as formats
from resmem_cli.errors import UsageError, did_you_mean

_OF_FILE = ("na", "separator", "is_assumed", "is_told")
POINT, COMMA = ".", ","
PERCENT = "%"
UTF_8, WINDOWS = "utf-8", "cp1252"
# Of ISO-8859-1 the 32 controls that nobody writes are what it has where cp1252 has letters and quotes.
ENCODINGS = (
    *(UTF_8, "utf-16", "utf-16-le", "utf-16-be", WINDOWS, "iso8859-1", "iso8859-2", "iso8859-15", "cp1250", "cp1251"),
    *("cp1253", "cp1254", "cp1257", "cp437", "cp850", "mac-roman", "koi8-r", "shift_jis", "cp932", "euc_jp"),
    *("gb18030", "big5", "euc_kr", "cp949"),
)
_SHOWN = {UTF_8: "UTF-8", "iso8859-1": "Latin-1", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_THOUSANDS = {POINT: "points", COMMA: "commas", " ": "spaces", "'": "apostrophes"}
_DELIMITERS = {"\t": "tab", " ": "space"}
_MOST_ROWS = 1_000_000  # above a header
_MARKS = (POINT, COMMA)


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        delimiter: one character; None for that of the format, a comma or a tab.
        encoding: one of `ENCODINGS`.
        skip_rows: how many lines stand above the header.
        decimal: "." or ",".
        thousands: what stands between groups of three digits: "", ".", ",", " " (any space) or "'".
        date_format: of all columns of dates, such as "dd.mm.yyyy"; beside it, ISO 8601 is always read.
        dates: the same of single columns: pairs of a name and a format.
        units: pairs of a column and the sign that its numbers have: "%" or a currency.
        na: further words for missing values.
        drop_totals: whether a row of totals at the end is left out.
        separator: what this file is delimited by.
        is_assumed: whether this file is delimited otherwise than those that the dialect was learned from, so that its
            marks may mean something else.
        is_told: whether the user says how numbers are written in this file, which is not the training file: then those
            of a column in percent may lack the sign, also where they have types.
    """

    delimiter: str | None = None
    encoding: str | None = None
    skip_rows: int | None = None
    decimal: str | None = None
    thousands: str | None = None
    date_format: str | None = None
    dates: tuple[tuple[str, str], ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    na: tuple[str, ...] = ()
    drop_totals: bool = False
    separator: str = COMMA
    is_assumed: bool = False
    is_told: bool = False

    @property
    def point(self) -> str:
        """What stands before the decimals."""
        return self.decimal or POINT

    @property
    def writes_plainly(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.point == POINT and not self.thousands and not self.units and not self.is_assumed

    def unit_of(self, column: str) -> str:
        """Return the sign beside a column's numbers, or ""."""
        return dict(self.units).get(column, "")

    def date_format_of(self, column: str) -> str | None:
        """Return how a column's dates are written; None for ISO 8601."""
        return self.date_format or dict(self.dates).get(column)

    def over(self, other: Dialect) -> Dialect:
        """Return what is said here, and of what is not, what the other one says."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OF_FILE}
        said = {name: value for name, value in named.items() if value not in (None, (), False)}
        merged = replace(other, **said, na=tuple(dict.fromkeys((*other.na, *self.na))))
        if self.decimal and self.thousands is None and other.thousands == self.decimal:
            return replace(merged, thousands="")
        if self.thousands in _MARKS and self.decimal is None and other.point == self.thousands:
            return replace(merged, decimal=POINT if self.thousands == COMMA else COMMA)
        return merged

    def learned(self) -> Dialect:
        """Return what later files are expected to have of this; what is usual is not said."""
        return replace(
            self,
            encoding=None if self.encoding == UTF_8 else self.encoding,
            skip_rows=self.skip_rows or None,
            decimal=None if self.decimal == POINT else self.decimal,
            thousands=self.thousands or None,
            separator=COMMA,
            is_assumed=False,
            is_told=False,
        )

    def described(self) -> str:
        """Return in words what is unlike UTF-8 text with decimal points and ISO 8601 dates; "" if nothing is."""
        parts = [] if self.delimiter is None else [_DELIMITERS.get(self.delimiter, self.delimiter)]
        marks = ["decimal comma"] if self.point == COMMA else []
        marks += [f"{_THOUSANDS[self.thousands]} between thousands"] if self.thousands else []
        orders = dict.fromkeys(form for _, form in self.dates)
        marks += [f"dates {form}" for form in ([self.date_format] if self.date_format else orders)]
        percent = [f"'{name}'" for name, sign in self.units if sign == PERCENT]
        marks += [f"{', '.join(percent)} in percent (12 % is 12)"] if percent else []
        marks += [sign for sign in dict.fromkeys(sign for _, sign in self.units) if sign != PERCENT]
        marks += [shown(self.encoding)] if self.encoding not in (None, UTF_8) else []
        marks += [f"{self.skip_rows:,} line{'s' * (self.skip_rows > 1)} above the header"] if self.skip_rows else []
        marks += ["missing " + ", ".join(f"'{word}'" for word in self.na)] if self.na else []
        marks += ["without the totals at the end"] if self.drop_totals else []
        return " ".join([*parts, ", ".join(marks)]).strip()

    def to_json(self) -> dict[str, Any]:
        """Return what a schema stores."""
        return {
            "delimiter": self.delimiter,
            "encoding": self.encoding or UTF_8,
            "skip_rows": self.skip_rows or 0,
            "decimal": self.point,
            "thousands": self.thousands or "",
            "date_format": self.date_format,
            "dates": [{"column": name, "format": form} for name, form in self.dates],
            "units": [{"column": name, "sign": sign} for name, sign in self.units],
            "na": list(self.na),
            "drop_totals": self.drop_totals,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Dialect:
        """Rebuild a dialect from what `to_json` returned.

        Raises:
            KeyError, ValueError: the mapping is not one of ours.
        """
        date_format = stored_fields.maybe_text(stored, "date_format")
        dates = _pairs(stored, "dates", "format")
        for form in [*filter(None, [date_format]), *(form for _, form in dates)]:
            formats.parsed(form)
        found = cls(
            stored_fields.maybe_text(stored, "delimiter"),
            stored_fields.text(stored, "encoding", ENCODINGS),
            stored_fields.whole(stored, "skip_rows", most=_MOST_ROWS),
            stored_fields.text(stored, "decimal", _MARKS),
            stored_fields.text(stored, "thousands", ("", *_THOUSANDS)),
            date_format,
            dates,
            _pairs(stored, "units", "sign"),
            stored_fields.texts(stored, "na"),
            stored_fields.flag(stored, "drop_totals"),
        )
        found.refuse_contradictions()
        return found.learned()

    def refuse_contradictions(self) -> None:
        """Raise ValueError if a delimiter is none, or a mark would mean two things."""
        if self.delimiter is not None and not _is_delimiter(self.delimiter):
            raise ValueError(f"{self.delimiter!r} is no delimiter")
        if self.thousands and self.thousands == self.decimal:
            raise ValueError("numbers have one mark before decimals and between thousands")


PLAIN = Dialect()
# How characters may be named that a shell or a reader does not see.
NAMED = {"\\t": "\t", "tab": "\t", "space": " ", "comma": ",", "point": ".", "semicolon": ";", "none": ""}


def shown(encoding: str | None) -> str:
    """Return what people call an encoding."""
    return _SHOWN.get(encoding or UTF_8, encoding or UTF_8)


def forced(
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    skip_rows: int | None = None,
    na: tuple[str, ...] = (),
    drop_totals: bool = False,
) -> Dialect:
    """Return what a user says of files, each None where nothing is said; characters may be named by a word.

    Raises:
        UsageError: a value is not one that there is, or two contradict each other.
    """
    delimiter, decimal, thousands = (
        None if each is None else NAMED.get(each, each) for each in (delimiter, decimal, thousands)
    )
    if delimiter is not None and not _is_delimiter(delimiter):
        raise UsageError(
            f"--delimiter is {delimiter!r}, and must be one ASCII character, no quote and no end of a line",
            "give one such as ; or tab",
        )
    if decimal not in (None, *_MARKS):
        raise UsageError(f"--decimal is '{decimal}', which is neither . nor ,", "give --decimal . or --decimal ,")
    if thousands not in (None, "", *_THOUSANDS):
        raise UsageError(f"--thousands is '{thousands}'", "give one of . , ' space none")
    if thousands and thousands == decimal:
        raise UsageError(f"--decimal and --thousands are both '{decimal}'", "leave one of them out")
    for word in na:
        if word != word.encode(errors="ignore").decode():
            raise UsageError(f"--na is {word!r}, which is no text", "give the word in UTF-8")
    form = None
    if date_format is not None:
        try:
            form = str(formats.parsed(date_format))
        except ValueError:
            raise UsageError(
                f"--date-format is '{date_format}', which is no order of day, month and year",
                "give one such as dd.mm.yyyy, mm/dd/yyyy or yyyy/mm/dd",
            ) from None
    known = None if encoding is None else _encoding(encoding)
    return Dialect(delimiter, known, skip_rows, decimal, thousands, form, na=na, drop_totals=drop_totals)


def _is_delimiter(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in '"\r\n\0'


def _encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name.removesuffix("-sig")
    except (LookupError, UnicodeError):  # a name that is no text at all
        found = name
    if found not in ENCODINGS:
        known = "choose from: " + ", ".join(ENCODINGS)
        raise UsageError(f"there is no encoding '{name}' to read", did_you_mean([name], ENCODINGS, known))
    return found


def _pairs(stored: Mapping[str, Any], name: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (stored_fields.text(each, "column"), stored_fields.text(each, value))
        for each in stored_fields.groups(stored, name)
    )
