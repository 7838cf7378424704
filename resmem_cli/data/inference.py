"""From a whole training input to a schema: which columns are features, of which kind; what the task is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data import (
    date_format,
    date_text,
    dialect_learning,
    feature_columns,
    json_digits,
    kinds,
    labels,
    text_kinds,
    totals,
)
from resmem_cli.data.dialect import PERCENT, PLAIN, Dialect
from resmem_cli.data.feature_columns import ColumnErrors
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows, concatenate, plain, to_booleans
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError, UsageError, did_you_mean

# A category seen less often is pooled with the other rare ones: it says next to nothing, and unknown
# categories at prediction then meet a code that was trained.
MIN_CATEGORY_ROWS = 3
# An integer target with at most this many distinct values, each seen often enough, is a class.
MAX_INTEGER_CLASSES = 20
# Of more classes, the mean of each per category would be too many columns.
MOST_ENCODED_CLASSES = 10
_MIN_INTEGER_CLASS_ROWS = 5


@dataclass(frozen=True)
class Roles:
    """What the user said about columns; an empty `features` means every column without another role.

    Attributes:
        given: columns that hold what a base elsewhere has predicted.
        rarest_category: in how many rows a category must be to have a code of its own.
        with_levels: whether all the values of a category that has many are told apart, for target encoding.
        classes: all classes of the target, in the order of a model's numbers, where rows need not hold each of them.
        group_column: the rows of each of its values belong together; it is no feature.
        time_column: when each row is from; it stays a feature if it is not dropped.
    """

    target: str
    task: Task | None = None
    features: Sequence[str] = ()
    drop: Sequence[str] = ()
    id_column: str | None = None
    weight_column: str | None = None
    categories: Sequence[str] = ()
    given: Sequence[str] = ()
    rarest_category: int = MIN_CATEGORY_ROWS
    group_column: str | None = None
    time_column: str | None = None
    with_levels: bool = True
    classes: Sequence[str] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The columns of roles that exclude each other."""
        others = (self.id_column, self.weight_column, self.group_column, self.time_column)
        return (self.target, *_given(*others), *self.given)


@dataclass(frozen=True)
class Learned:
    """A schema, the rows in types (used columns; those with a target and some weight), and what the user should know.

    The target of a classification is text: its labels.
    """

    schema: Schema
    rows: Rows
    notes: tuple[str, ...]


def learn(parts: Sequence[Rows], roles: Roles) -> Learned:
    """Learn the schema of a training input.

    Raises:
        DataError: a named column is missing, the target is constant, nearly absent or infinite, there are no two
            classes of several rows, columns hold values that do not fit the rest of them, or no row has weight.
        UsageError: the roles contradict each other.
    """
    candidates = _candidates(parts[0], roles)
    parts, dialect = _in_dialect(parts, candidates, roles)
    parts, weight_notes = _with_weight(parts, roles.weight_column)
    rows = _typed(parts, {*candidates, *roles.named}, roles)
    keep, notes = _that_count(rows, roles)
    text = None
    if _may_be_classes(rows, roles):
        text = labels.as_written(parts, roles.target, rows.column(roles.target).type).filter(pa.array(keep))
    if not keep.all():
        rows = rows.take(np.flatnonzero(keep))
    from_text = any(part.is_text for part in parts)
    target, rows, target_notes = _target(rows, roles, text, from_text=from_text)
    columns, feature_notes = feature_columns.choose(
        rows,
        candidates,
        roles,
        from_text=from_text,
        with_levels=roles.with_levels and len(target.classes) <= MOST_ENCODED_CLASSES,
    )
    feature_notes += [*_notes_on_rounding(parts, rows, columns), *_notes_on_years(rows, dialect)]
    schema = Schema(
        columns,
        target,
        roles.id_column,
        roles.weight_column,
        group_column=roles.group_column,
        time_column=roles.time_column,
        dialect=dialect,
    )
    return Learned(schema, rows, (*target_notes, *weight_notes, *notes, *feature_notes))


def without_totals(batches: Iterable[Rows], roles: Roles) -> Iterator[Rows]:
    """Yield batches of training rows without totals at the end of all, as `learn` does with rows that it holds.

    Raises:
        DataError: as `learn` of totals, or of columns that are missing.
    """
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        return
    candidates = [name for name in _candidates(first, roles) if name not in first.of_folders]
    dialect = first.dialect
    if first.is_text:
        try:
            dialect = dialect_learning.learned(first, _marked(candidates, roles))
        except DataError:  # which is for `learn` to say, of all rows that it is given
            dialect = first.dialect
    yield from totals.checked(chain([first], remaining), candidates, roles.target, dialect)


def _candidates(rows: Rows, roles: Roles) -> list[str]:
    names = list(rows.table.column_names)
    if len(set(roles.named)) < len(roles.named):
        raise UsageError(f"one column is given two of the roles {_roles(roles)}", "give each its own column")
    taken = [name for name in roles.named if name != roles.time_column]
    named = [*roles.named, *roles.features, *roles.drop, *roles.categories]
    absent = [name for name in dict.fromkeys(named) if name not in names]
    if absent:
        raise DataError(
            f"{rows.source} has no column " + ", ".join(f"'{name}'" for name in absent),
            did_you_mean(absent, names, "its columns are: " + ", ".join(names) if names else "it has no columns"),
        )
    clash = [name for name in roles.features if name in taken or name in roles.drop]
    if clash:
        raise UsageError(f"'{clash[0]}' is named in --features and has another role", "take it out of one of them")
    wanted: Iterable[str] = dict.fromkeys(roles.features) or names
    return [name for name in wanted if name not in taken and name not in roles.drop]


def _in_dialect(parts: Sequence[Rows], candidates: Sequence[str], roles: Roles) -> tuple[list[Rows], Dialect]:
    """Return the parts, text ones with what the marks in them mean, and that dialect."""
    names = _marked(candidates, roles)
    found, done = PLAIN, []
    for part in parts:
        if not part.is_text:
            done.append(part)
            continue
        found = dialect_learning.learned(part, names)
        done.append(totals.without(replace(part, dialect=found), candidates, roles.target))
    in_percent = [name for name, sign in found.units if sign == PERCENT]
    for part in (part for part in done if not part.is_text):
        for name in (name for name in in_percent if name in part.table.column_names):
            kinds.in_percent(part, name)  # refuses numbers that may be in another unit
    return done, found.learned()


def _marked(candidates: Sequence[str], roles: Roles) -> set[str]:
    """Return the columns whose values may be written with marks: numbers and dates, and no names."""
    names = {*candidates, roles.target, *_given(roles.weight_column, roles.time_column), *roles.given}
    return names - {*roles.categories, *_given(roles.id_column, roles.group_column)}


def _given(*names: str | None) -> tuple[str, ...]:
    """Return the names that there are; that of a column without a name, as an index of pandas, is ""."""
    return tuple(name for name in names if name is not None)


def _roles(roles: Roles) -> str:
    names = ["--target", "--id", "--weight", *["--group"] * (roles.group_column is not None)]
    names += ["--time"] * (roles.time_column is not None) + ["of the base's columns"] * bool(roles.given)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _typed(parts: Sequence[Rows], names: set[str], roles: Roles) -> Rows:
    """Return the columns that are used, of all parts together, with types; a forced category is text in every part."""
    typed = [_with_types(part, names, roles) for part in parts]
    return concatenate(_with_floats(typed) if len(typed) > 1 else typed)


def _with_floats(parts: Sequence[Rows]) -> list[Rows]:
    """Return parts with floats in the place of whole numbers, where another part has fractions in the column.

    Raises:
        DataError: a whole number would lose digits, as it may not in a single file of JSON lines either; the message
            names its file, row and column.
    """
    fields = [field for part in parts for field in part.table.schema]
    floats = {path for field in fields for path in json_digits.float_paths(field.type, (field.name,))}
    names, done = {path[0] for path in floats}, []
    for part in parts:
        table = part.table
        read = table.select([name for name in table.column_names if name in names])
        for path, (row, digits) in json_digits.lost_as_floats(read, {}).items():
            if path in floats:
                raise DataError(
                    f"{part.locate(row)}: column '{'.'.join(path)}' holds {digits:.80}, which would lose digits beside "
                    "the fractions that the column has in another input",
                    "write the numbers of this column as text in all inputs",
                )
        for at, field in enumerate(table.schema):
            if (field.name,) in floats and pa.types.is_integer(field.type):
                table = table.set_column(at, field.name, pc.cast(table.column(at), pa.float64(), safe=False))
        done.append(replace(part, table=table))
    return done


def _with_types(rows: Rows, names: set[str], roles: Roles) -> Rows:
    columns, errors = {}, ColumnErrors()
    for name in rows.table.column_names:
        if name not in names:
            continue
        with errors.of(name):
            columns[name] = _with_type(rows, name, roles)
    errors.raise_if_any()
    # Numbers in percent have been read, with their sign.
    return replace(rows, table=pa.table(columns), is_text=False, dialect=Dialect(is_told=True))


def _with_type(rows: Rows, name: str, roles: Roles) -> pa.ChunkedArray:
    if name in (*roles.categories, roles.id_column, roles.group_column):
        return kinds.as_category(rows, name)
    if name in rows.of_folders:
        return text_kinds.infer(rows, name)
    if rows.is_text:
        return text_kinds.infer(rows, name)
    column = plain(rows.column(name))
    is_feature = name not in (roles.target, roles.weight_column, *roles.given)
    return text_kinds.infer_instants(rows, name) if kinds.is_text(column.type) and is_feature else column


def _that_count(rows: Rows, roles: Roles) -> tuple[NDArray[np.bool_], list[str]]:
    """Return [n] which rows have a target and a weight that is not 0, and say how many do not."""
    values = rows.column(roles.target)
    known = pc.is_valid(values)
    if pa.types.is_floating(values.type):
        known = pc.and_(known, pc.fill_null(pc.invert(pc.is_nan(values)), False))
    elif kinds.is_text(values.type):
        known = pc.is_valid(kinds.as_category(rows, roles.target))
    keep, notes = to_booleans(known), []
    if not keep.any():
        raise DataError(f"{rows.source}: the target '{roles.target}' is missing in every row", "give labelled rows")
    dropped = len(rows) - int(keep.sum())
    if dropped:
        notes.append(f"{dropped:,} of {len(rows):,} rows have no target '{roles.target}' and are left out")
    return keep, notes


def _notes_on_rounding(parts: Sequence[Rows], rows: Rows, columns: Sequence[Column]) -> list[str]:
    """Say which features hold whole numbers that become others, as long keys do; `rows` are the parts with types."""
    numbers = [column.name for column in columns if column.kind is Kind.NUMBER]
    large = [name for name in numbers if (np.abs(kinds.as_number(rows, name)) >= kinds.EXACT).any()]
    return [
        f"the column '{name}' has whole numbers beyond {kinds.EXACT:,} (2^53), which are rounded, so that some may "
        f"become equal (--category '{name}' to tell them apart, --drop '{name}' to leave them out)"
        for name in large
        if any(kinds.is_rounded(part, name) for part in parts)
    ]


def _notes_on_years(rows: Rows, dialect: Dialect) -> list[str]:
    """Say in which columns years of two digits are of two centuries, of which one may be meant."""
    notes = []
    for name in rows.table.column_names:
        form, values = dialect.date_format_of(name), rows.column(name)
        if form is None or "s" not in date_format.parsed(form).order or not pa.types.is_timestamp(values.type):
            continue
        first, last = (year.as_py() for year in pc.min_max(pc.year(values)).values())
        if first is not None and first < 2000 <= last:
            notes.append(
                f"the column '{name}' has years of two digits, which are read as {1900 + date_text.PIVOT} to "
                f"{1999 + date_text.PIVOT}: its dates are from {first} to {last} (write years of four digits where "
                "that is wrong)"
            )
    return notes


def _may_be_classes(rows: Rows, roles: Roles) -> bool:
    kind = kinds.kind_of(rows.column(roles.target).type)
    if roles.task is not None or kind is not Kind.NUMBER:
        return roles.task is not Task.REGRESSION and kind in (Kind.NUMBER, Kind.BOOLEAN, Kind.CATEGORY)
    values = kinds.as_number(rows, roles.target)
    values = values[~np.isnan(values)]
    return bool((np.floor(values) == values).all())


def _target(
    rows: Rows, roles: Roles, text: pa.ChunkedArray | None, *, from_text: bool
) -> tuple[Target, Rows, tuple[str, ...]]:
    """Return the target, the rows that it can be learned from, and notes; `text` are [n] its labels."""
    name, values = roles.target, rows.column(roles.target)
    kind = kinds.kind_of(values.type)
    if kind in (None, Kind.TIMESTAMP, Kind.VECTOR):
        raise DataError(f"the target '{name}' has the type {values.type}", "choose a numeric or categorical column")
    if kind is Kind.NUMBER:
        kinds.as_number(rows, name)  # an infinite one is refused before it is taken for a class
    if pc.count_distinct(values).as_py() < 2 and (text is None or len(pc.unique(kinds.canonical(text))) < 2):
        raise DataError(
            f"the target '{name}' has the same value, '{values[0].as_py()}', in all {len(rows):,} rows",
            "there is nothing to learn: give rows that differ",
        )
    task, why = (roles.task, ()) if roles.task else _guessed_task(name, kind, text)
    if task is Task.REGRESSION or text is None:
        kinds.as_number(rows, name, largest=kinds.LARGEST_LABEL)
        return Target(name, Task.REGRESSION, str(values.type)), rows, why
    if roles.classes:
        found = labels.declared(name, text, values.type, roles.classes, rows)
    else:
        found = labels.learn(name, text, values.type, from_text=from_text)
    table = rows.table.set_column(rows.table.column_names.index(name), name, found.column)
    rows = replace(rows, table=table)
    if not found.keep.all():
        rows = rows.take(np.flatnonzero(found.keep))
    return Target(name, task, found.arrow_type, found.classes), rows, (*why, *found.notes)


def _with_weight(parts: Sequence[Rows], name: str | None) -> tuple[Sequence[Rows], list[str]]:
    """Drop the rows of weight 0 before anything is learned from them, and say how many."""
    if name is None:
        return parts, []
    # What is missing or negative is refused when it is read.
    keep = [np.flatnonzero(kinds.as_number(part, name) != 0) for part in parts]
    n_rows, n_kept = sum(map(len, parts)), sum(map(len, keep))
    if n_kept == 0:
        raise DataError(
            f"{parts[0].source}: the weight '{name}' is 0 in every row", "give at least one row a positive weight"
        )
    if n_kept == n_rows:
        return parts, []
    kept = [part.take(rows) for part, rows in zip(parts, keep, strict=True) if len(rows)]
    return kept, [f"{n_rows - n_kept:,} of {n_rows:,} rows have the weight 0 ('{name}') and are left out"]


def _guessed_task(name: str, kind: Kind | None, text: pa.ChunkedArray | None) -> tuple[Task, tuple[str, ...]]:
    """Return the task, and notes on it; `text` are [n] labels, None where numbers are not all whole."""
    if text is None:
        return Task.REGRESSION, ()
    if kind is not Kind.NUMBER:
        return Task.CLASSIFICATION, ()
    # As text, because integers beyond 2 ** 53 are not all different as floats.
    counts = pc.value_counts(kinds.canonical(text)).field("counts").to_numpy()
    if len(counts) == 2 or (len(counts) <= MAX_INTEGER_CLASSES and counts.min() >= _MIN_INTEGER_CLASS_ROWS):
        return Task.CLASSIFICATION, (
            f"the target '{name}' has {len(counts)} distinct integers, used as class labels "
            "(--task regression to predict numbers)",
        )
    return Task.REGRESSION, ()
