"""What the marks of numbers and dates mean in a text table: learned from all of its rows, or refused.

One value says little: "1,234" may be a thousand or one and a bit. All columns together nearly always say which, because
a file is written by one program; where they do not, the user has to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data import date_text, kinds, number_text
from resmem_cli.data.date_format import DateFormat
from resmem_cli.data.dialect import COMMA, PERCENT, POINT, Dialect
from resmem_cli.data.rows import Rows, to_booleans
from resmem_cli.errors import DataError

# Text is taken for numbers or dates if this share of it can be read as that: the rest is then named as wrong.
MOSTLY = 0.9
_BETWEEN = {POINT: (COMMA, " ", "'"), COMMA: (POINT, " ", "'")}
_NAMES = {POINT: "a decimal point", COMMA: "a decimal comma"}


def learned(rows: Rows, names: Collection[str]) -> Dialect:
    """Return the dialect of text rows with what was not known of it, from those columns that are not just names.

    Raises:
        DataError: columns, or values of one column, are written in different ways, or in a way that can be read in two;
            or the words for missing values leave nothing of a column.
    """
    dialect = rows.dialect
    present = [name for name in rows.table.column_names if name in names]
    _refuse_hidden(rows, names)
    plain = [name for name in present if _is_plain(rows, name)]
    columns = [_Column.of(rows, name) for name in present if name not in plain]
    numeric = [numbers for column in columns if (numbers := _Numbers.of(column)) is not None]
    if numeric or dialect.separator == ";" or dialect.decimal is not None:
        # Only beside such numbers may those that a program could have written be others than they seem.
        of_plain = [_Numbers.of(_Column.of(rows, name)) for name in plain]
        numeric += [numbers for numbers in of_plain if numbers is not None]
    is_numeric = {numbers.column.name for numbers in numeric}
    if dialect.decimal is not None:
        _refuse_others(rows, numeric, dialect.decimal)
    dialect = replace(dialect, decimal=dialect.decimal or _decimal(rows, numeric))
    if dialect.thousands is None:
        dialect = replace(dialect, thousands=_thousands(rows, numeric, dialect.point))
    units = tuple((each.column.name, unit) for each in numeric if (unit := _unit(rows, each)))
    dates: tuple[tuple[str, str], ...] = ()
    if dialect.date_format is None:
        dates = _dates(rows, [column for column in columns if column.name not in is_numeric])
    return replace(dialect, units=units, dates=dates)


@dataclass(frozen=True)
class _Column:
    """The distinct known values of a column, and in how many rows each is."""

    name: str
    values: pa.Array
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows, name: str) -> _Column:
        text = kinds.known_text(rows, name)
        found = pc.value_counts(text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text)
        values, counts = found.field("values"), found.field("counts").to_numpy()
        known = to_booleans(pc.is_valid(values))
        return cls(name, values.filter(pa.array(known)), counts[known])

    def locate(self, rows: Rows, value: str) -> str:
        """Return the first row of a value."""
        return rows.locate(pc.index(kinds.known_text(rows, self.name), value).as_py())


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers, and what the marks in them can mean.

    Attributes:
        column: of which nearly all values are numbers in one way or another.
        values, counts: those that are.
        signs: [n] the units beside them.
        as_point, as_comma: [n] which are numbers with a decimal point, or a decimal comma.
    """

    column: _Column
    values: pa.Array
    counts: NDArray[np.int64]
    cores: pa.Array
    signs: pa.Array
    as_point: NDArray[np.bool_]
    as_comma: NDArray[np.bool_]

    @classmethod
    def of(cls, column: _Column) -> _Numbers | None:
        with_digits = to_booleans(pc.match_substring_regex(column.values, "[0-9]"))
        if column.counts[with_digits].sum() < MOSTLY * column.counts.sum():
            return None
        found = number_text.parts(column.values)
        cores, signs = pc.struct_field(found, "core"), number_text.unit_of(found)
        as_point, as_comma = (
            _any([_matches(cores, mark, between) for between in ("", *_BETWEEN[mark])]) for mark in (POINT, COMMA)
        )
        known = as_point | as_comma
        if not known.any() or column.counts[known].sum() < MOSTLY * column.counts.sum():
            return None
        which = pa.array(known)
        return cls(
            column,
            column.values.filter(which),
            column.counts[known],
            cores.filter(which),
            signs.filter(which),
            as_point[known],
            as_comma[known],
        )

    def only(self, mark: str) -> NDArray[np.bool_]:
        """Return [n] which are numbers with this mark before the decimals, and none with the other."""
        return self.as_point & ~self.as_comma if mark == POINT else self.as_comma & ~self.as_point

    @property
    def ambiguous(self) -> NDArray[np.bool_]:
        """[n] which have a mark that may mean either thing."""
        return self.as_point & self.as_comma & to_booleans(pc.match_substring_regex(self.cores, "[.,]"))

    def example(self, which: NDArray[np.bool_]) -> str:
        return str(self.values[int(np.flatnonzero(which)[0])].as_py())


def _decimal(rows: Rows, numeric: Sequence[_Numbers]) -> str:
    """Return what stands before the decimals in all columns."""
    surely: dict[str, _Numbers] = {}
    for each in numeric:
        point, comma = each.only(POINT), each.only(COMMA)
        if point.any() and comma.any():
            raise _mixed_values(rows, each, point, comma)
        surely |= {mark: each for mark, which in ((POINT, point), (COMMA, comma)) if which.any()}
    if len(surely) == 2:
        raise _mixed_columns(rows, surely[POINT], surely[COMMA])
    return next(iter(surely)) if surely else _by_delimiter(rows, numeric)


def _refuse_others(rows: Rows, numeric: Sequence[_Numbers], decimal: str) -> None:
    """Refuse a column that has other decimals than the user says."""
    for each in numeric:
        which = each.only(COMMA if decimal == POINT else POINT)
        if which.any():
            example = each.example(which)
            raise DataError(
                f"{each.column.locate(rows, example)}: column '{each.column.name}' holds '{example}', which is no "
                f"number with {_NAMES[decimal]}",
                f"correct --decimal, or use --category '{each.column.name}' if the column is categorical",
            )


def _by_delimiter(rows: Rows, numeric: Sequence[_Numbers]) -> str:
    """Return the same where no number says it: commas between values are none before decimals."""
    separator = rows.dialect.separator
    for each in numeric if separator != COMMA else ():
        which = each.ambiguous
        if which.any() and (COMMA in (example := each.example(which)) or separator == ";"):
            raise DataError(
                f"{each.column.locate(rows, example)}: column '{each.column.name}' holds '{example}', whose mark may "
                "stand before decimals or between thousands, and no other value tells",
                "say which with --decimal . or --decimal ,",
            )
    return POINT


def _thousands(rows: Rows, numeric: Sequence[_Numbers], decimal: str) -> str:
    """Return what stands between thousands in all columns, "" if nothing does."""
    first: tuple[str, _Numbers, str] | None = None
    for each in numeric:
        rest = ~_matches(each.cores, decimal, "")
        for between in _BETWEEN[decimal]:
            which = rest & _matches(each.cores, decimal, between)
            if which.any() and first is None:
                first = between, each, each.example(which)
            elif which.any() and first is not None and between != first[0]:
                example = each.example(which)
                raise DataError(
                    f"{each.column.locate(rows, example)}: column '{each.column.name}' holds '{example}', where "
                    f"'{first[1].column.name}' has '{first[2]}' ({first[1].column.locate(rows, first[2])}): thousands "
                    "are separated in two ways",
                    "write all numbers in one way, or say with --thousands what is between thousands",
                )
    return "" if first is None else first[0]


def _unit(rows: Rows, numbers: _Numbers) -> str:
    """Return the sign that all of a column's numbers have; a currency may lack in some."""
    signs = [str(sign) for sign in pc.unique(numbers.signs).to_pylist()]
    units = [sign for sign in signs if sign]
    if not units:
        return ""
    bare = to_booleans(pc.equal(numbers.signs, "")) & ~to_booleans(number_text.is_zero(numbers.cores))
    if len(units) > 1 or (units[0] == PERCENT and bare.any()):
        of_each = [to_booleans(pc.equal(numbers.signs, sign)) for sign in units] + [bare] * bool(bare.any())
        most, *others = sorted(of_each, key=lambda which: -numbers.counts[which].sum())
        odd, usual = numbers.example(others[0]), numbers.example(most)
        raise DataError(
            f"{numbers.column.locate(rows, odd)}: column '{numbers.column.name}' holds '{odd}' where others are like "
            f"'{usual}', and their units differ",
            f"write all values in one unit, or use --category '{numbers.column.name}' if the column is categorical",
        )
    return units[0]


def _dates(rows: Rows, columns: Sequence[_Column]) -> tuple[tuple[str, str], ...]:
    """Return how the dates of columns are written; what one column leaves open another may tell."""
    known: dict[str, DateFormat] = {}
    unsure: dict[str, tuple[_Column, Sequence[DateFormat]]] = {}
    for column in columns:
        reading = date_text.read(column.values, column.counts, MOSTLY)
        if reading is None:
            continue
        if reading.nearly is not None:
            raise DataError(
                f"{column.locate(rows, reading.odd)}: column '{column.name}' holds '{reading.odd}' where nearly all "
                f"values are dates as {reading.nearly}",
                f"correct it, or use --category '{column.name}' if the column is categorical",
            )
        if len(reading.formats) == 1:
            known[column.name] = reading.formats[0]
        else:
            unsure[column.name] = column, reading.formats
    for name, (column, forms) in unsure.items():
        told = [form for form in forms if form in set(known.values())]
        if len(told) != 1:
            raise _ambiguous_dates(rows, column, forms)
        known[name] = told[0]
    return tuple((column.name, str(known[column.name])) for column in columns if column.name in known)


def _ambiguous_dates(rows: Rows, column: _Column, forms: Sequence[DateFormat]) -> DataError:
    return DataError(
        f"{rows.source}: every date of the column '{column.name}' can be read as {' and as '.join(map(str, forms))}, "
        f"such as '{column.values[0].as_py()}'",
        "say which with " + " or ".join(f"--date-format {form}" for form in forms),
    )


def _mixed_values(rows: Rows, numbers: _Numbers, point: NDArray[np.bool_], comma: NDArray[np.bool_]) -> DataError:
    is_point = numbers.counts[point].sum() >= numbers.counts[comma].sum()
    usual, odd = (point, comma) if is_point else (comma, point)
    share = numbers.counts[usual].sum() / (numbers.counts[usual].sum() + numbers.counts[odd].sum())
    name, example = numbers.column.name, numbers.example(odd)
    return DataError(
        f"{numbers.column.locate(rows, example)}: column '{name}' holds '{example}' where "
        f"{int(share * 1000) / 10}% of the values that tell have {_NAMES[POINT if is_point else COMMA]}",
        f"correct it, or use --category '{name}' if the column is categorical",
    )


def _mixed_columns(rows: Rows, point: _Numbers, comma: _Numbers) -> DataError:
    first, second = point.example(point.only(POINT)), comma.example(comma.only(COMMA))
    return DataError(
        f"{comma.column.locate(rows, second)}: column '{comma.column.name}' holds '{second}' with a decimal comma, and "
        f"'{point.column.name}' holds '{first}' with a decimal point ({point.column.locate(rows, first)})",
        f"write all numbers in one way, or use --category for the one of them that is categorical "
        f"('{comma.column.name}' or '{point.column.name}')",
    )


def _refuse_hidden(rows: Rows, names: Collection[str]) -> None:
    """Refuse words for missing values that are all that a column has."""
    for name in rows.table.column_names if rows.dialect.na else ():
        before = rows.table.column(name)
        if name in names and before.null_count < len(before) and rows.column(name).null_count == len(before):
            word = before[pc.index(pc.is_valid(before), True).as_py()].as_py()
            raise DataError(
                f"{rows.source}: --na takes every value of the column '{name}' for missing, such as '{word}'",
                f"take the word out of --na, or leave the column out with --drop '{name}'",
            )


def _is_plain(rows: Rows, name: str) -> bool:
    """Whether all values of a column are numbers as programs write them."""
    if kinds.cast_or_none(rows.column(name), pa.float64()) is not None:  # without a pass for spaces and "NA"
        return True
    return kinds.cast_or_none(kinds.known_text(rows, name), pa.float64()) is not None


def _matches(cores: pa.Array, decimal: str, between: str) -> NDArray[np.bool_]:
    pattern = f"^{number_text.core_pattern(decimal, between)}$"
    return to_booleans(pc.fill_null(pc.match_substring_regex(cores, pattern), False))


def _any(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.logical_or.reduce(masks)
    return found
