"""From a whole training input to a schema: which columns are features, of which kind; what the task is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data import kinds
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows, concatenate, plain, to_booleans
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError, UsageError, did_you_mean

# Histogram boosting holds 255 codes a column; one is left for all the others.
MAX_CATEGORIES = 254
# A category seen less often is pooled with the other rare ones: it says next to nothing, and unknown
# categories at prediction then meet a code that was trained.
MIN_CATEGORY_ROWS = 3
# An integer target with at most this many distinct values, each seen often enough, is a class.
MAX_INTEGER_CLASSES = 20
_MIN_INTEGER_CLASS_ROWS = 5
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name in Parquet


@dataclass(frozen=True)
class Roles:
    """What the user said about columns; an empty `features` means every column without another role.

    Attributes:
        given: columns that hold what a base elsewhere has predicted.
        rarest_category: in how many rows a category must be to have a code of its own.
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


@dataclass(frozen=True)
class Learned:
    """A schema, the rows in types (used columns; those with a target), and what the user should know."""

    schema: Schema
    rows: Rows
    notes: tuple[str, ...]


def learn(parts: Sequence[Rows], roles: Roles) -> Learned:
    """Learn the schema of a training input.

    Raises:
        DataError: a named column is missing, the target is constant, nearly absent or infinite, a class has one
            row, a column holds nothing, or no row has weight.
        UsageError: the roles contradict each other.
    """
    candidates = _candidates(parts[0], roles)
    parts, of_weight = _with_weight(parts, roles.weight_column)
    rows = _typed(parts, {*candidates, roles.target, *roles.given, *filter(None, [roles.weight_column])}, roles)
    rows, notes = _with_target(rows, roles)
    notes = of_weight + notes
    target, why = _target(rows, roles)
    columns = []
    for name in candidates:
        column, note = _column(rows, name, roles)
        columns += [column] if column else []
        notes += [note] if note else []
    if not columns:
        raise DataError(
            f"{rows.source} has no column that can be a feature", "add columns, or check --features and --drop"
        )
    schema = Schema(tuple(columns), target, roles.id_column, roles.weight_column)
    return Learned(schema, rows, (*([why] if why else []), *notes))


def _candidates(rows: Rows, roles: Roles) -> list[str]:
    names = list(rows.table.column_names)
    taken = [roles.target, *filter(None, (roles.id_column, roles.weight_column)), *roles.given]
    if len(set(taken)) < len(taken):
        raise UsageError(f"one column is given two of the roles {_roles(roles)}", "give each its own column")
    said = [*taken, *roles.features, *roles.drop, *roles.categories]
    absent = [name for name in dict.fromkeys(said) if name not in names]
    if absent:
        raise DataError(
            f"{rows.source} has no column " + ", ".join(f"'{name}'" for name in absent),
            did_you_mean(absent, names, "its columns are: " + ", ".join(names)),
        )
    clash = [name for name in roles.features if name in taken or name in roles.drop]
    if clash:
        raise UsageError(f"'{clash[0]}' is named in --features and has another role", "take it out of one of them")
    wanted: Iterable[str] = dict.fromkeys(roles.features) or names
    return [name for name in wanted if name not in taken and name not in roles.drop]


def _roles(roles: Roles) -> str:
    return "--target, --id, --weight and of the base's columns" if roles.given else "--target, --id and --weight"


def _typed(parts: Sequence[Rows], names: set[str], roles: Roles) -> Rows:
    """Return the columns that are used, of all parts together, with types; a forced category is text in every part."""
    return concatenate([_with_types(part, names, frozenset(roles.categories)) for part in parts])


def _with_types(rows: Rows, names: set[str], categories: frozenset[str]) -> Rows:
    columns = {}
    for name in rows.table.column_names:
        if name in categories & names:
            columns[name] = kinds.as_category(rows, name)
        elif name in names:
            columns[name] = kinds.infer_text(rows, name) if rows.is_text else plain(rows.column(name))
    return replace(rows, table=pa.table(columns), is_text=False)


def _with_target(rows: Rows, roles: Roles) -> tuple[Rows, list[str]]:
    """Drop the rows without a target, and say how many."""
    values = rows.column(roles.target)
    known = pc.is_valid(values)
    if pa.types.is_floating(values.type):
        known = pc.and_(known, pc.fill_null(pc.invert(pc.is_nan(values)), False))
    elif kinds.is_text(values.type):
        known = pc.is_valid(kinds.as_category(rows, roles.target))
    keep = np.flatnonzero(to_booleans(known))
    if len(keep) == 0:
        raise DataError(f"{rows.source}: the target '{roles.target}' is missing in every row", "give labelled rows")
    dropped = len(rows) - len(keep)
    if not dropped:
        return rows, []
    note = f"{dropped:,} of {len(rows):,} rows have no target '{roles.target}' and are left out"
    return rows.take(keep), [note]


def _target(rows: Rows, roles: Roles) -> tuple[Target, str]:
    values = rows.column(roles.target)
    kind = kinds.kind_of(values.type)
    if kind in (None, Kind.TIMESTAMP, Kind.VECTOR):
        raise DataError(f"the target '{roles.target}' has the type {values.type}", "choose a number or a class")
    if kind is Kind.NUMBER:
        kinds.as_number(rows, roles.target)  # an infinite one is refused before it is taken for a class
    if pc.count_distinct(values).as_py() < 2:
        raise DataError(
            f"the target '{roles.target}' has the same value, '{values[0].as_py()}', in all {len(rows):,} rows",
            "there is nothing to learn: give rows that differ",
        )
    task, why = (roles.task, "") if roles.task else _guessed_task(rows, roles.target, kind)
    if task is Task.CLASSIFICATION:
        return Target(roles.target, task, str(values.type), _classes(rows, roles.target, kind)), why
    kinds.as_number(rows, roles.target)
    return Target(roles.target, task, str(values.type)), why


def _with_weight(parts: Sequence[Rows], name: str | None) -> tuple[Sequence[Rows], list[str]]:
    """Drop the rows of weight 0 before anything is learned from them, and say how many."""
    if name is None:
        return parts, []
    # What is missing or negative is refused when it is read.
    keep = [np.flatnonzero(kinds.as_number(part, name) != 0) for part in parts]
    n_rows, n_kept = sum(map(len, parts)), sum(map(len, keep))
    if n_kept == 0:
        raise DataError(
            f"{parts[0].source}: the weight '{name}' is 0 in every row", "give at least one row some weight"
        )
    if n_kept == n_rows:
        return parts, []
    kept = [part.take(rows) for part, rows in zip(parts, keep, strict=True) if len(rows)]
    return kept, [f"{n_rows - n_kept:,} of {n_rows:,} rows have the weight 0 and are left out"]


def _guessed_task(rows: Rows, name: str, kind: Kind) -> tuple[Task, str]:
    if kind in (Kind.CATEGORY, Kind.BOOLEAN):
        return Task.CLASSIFICATION, ""
    distinct, counts = np.unique(kinds.as_number(rows, name), return_counts=True)
    n_distinct = len(distinct)
    whole = (np.floor(distinct) == distinct).all()
    frequent = counts.min() >= _MIN_INTEGER_CLASS_ROWS
    if whole and (n_distinct == 2 or (n_distinct <= MAX_INTEGER_CLASSES and frequent)):
        return Task.CLASSIFICATION, (
            f"the target '{name}' has {n_distinct} distinct whole numbers, taken as classes "
            "(--task regression to take them as numbers)"
        )
    return Task.REGRESSION, ""


def _classes(rows: Rows, name: str, kind: Kind) -> tuple[str | int | float | bool, ...]:
    values = rows.column(name)
    if kind is Kind.CATEGORY:
        values = kinds.as_category(rows, name)
    elif pa.types.is_decimal(values.type) and values.type.scale == 0:  # what SQL calls NUMBER
        values = pc.cast(values, pa.int64())
    elif kind is Kind.NUMBER and not pa.types.is_integer(values.type):
        values = pa.array(kinds.as_number(rows, name) + 0.0)  # -0.0 becomes 0.0
    counts = pc.value_counts(values)
    single = [item["values"] for item in counts.to_pylist() if item["counts"] == 1]
    if single:
        raise DataError(
            f"the target '{name}' has the class '{single[0]}' in one row only"
            + (f" (and {len(single) - 1} more such classes)" if len(single) > 1 else ""),
            "add rows of it, or remove it; a number is predicted with --task regression",
        )
    return tuple(sorted(counts.field("values").to_pylist()))


def _column(rows: Rows, name: str, roles: Roles) -> tuple[Column | None, str]:
    """Return the column as a feature, or None and why it is none."""
    values, forced, wanted = rows.column(name), name in roles.categories, name in roles.features
    kind = Kind.CATEGORY if forced else kinds.kind_of(values.type)
    if (not name or _PANDAS_INDEX.fullmatch(name)) and not (forced or wanted):
        what = f"the index column '{name}'" if name else "a column without a name (an index?)"
        return None, f"{what} is not used as a feature"
    if _is_missing(rows, name, kind):
        raise DataError(
            f"{rows.source}: the column '{name}' is missing in every row", f"leave it out with --drop '{name}'"
        )
    if kind is None:
        if wanted:
            raise DataError(f"{rows.source}: the column '{name}' of type {values.type} cannot be a feature", "drop it")
        return None, f"the column '{name}' of type {values.type} is not used as a feature"
    if kind is Kind.VECTOR:
        return _vector(rows, name, wanted=wanted)
    if kind is not Kind.CATEGORY:
        return Column(name, kind, str(values.type)), ""
    return _category(rows, name, roles)


def _vector(rows: Rows, name: str, *, wanted: bool) -> tuple[Column | None, str]:
    """Return a column of vectors as a feature; one that is not of one length is none, unless the user insists."""
    try:
        vectors = kinds.as_vector(rows, name)
    except DataError as error:
        if wanted:
            raise
        return None, f"the column '{name}' is not used as a feature: {error.message}"
    return Column(name, Kind.VECTOR, str(rows.column(name).type), length=vectors.shape[1]), ""


def _is_missing(rows: Rows, name: str, kind: Kind | None) -> bool:
    """Whether no row has a value; an infinite number is refused on the way."""
    values = rows.column(name)
    if kind is Kind.NUMBER:
        return bool(np.isnan(kinds.as_number(rows, name)).all())
    if kind is Kind.CATEGORY and kinds.kind_of(values.type) is not None:
        values = kinds.as_category(rows, name)
    return bool(values.null_count == len(values))


def _category(rows: Rows, name: str, roles: Roles) -> tuple[Column | None, str]:
    text, insisted, rarest = kinds.as_category(rows, name), name in roles.categories, roles.rarest_category
    insisted |= name in roles.features
    counts = pc.value_counts(text.drop_null())
    ranked = sorted((-item["counts"], item["values"]) for item in counts.to_pylist())
    frequent = [value for count, value in ranked if -count >= rarest][:MAX_CATEGORIES]
    if not frequent:
        return (
            None,
            f"the column '{name}' has no value in {rarest} rows or more and is not used as a feature",
        )
    if len(ranked) > max(MAX_CATEGORIES, len(rows) // 2) and not insisted:
        return None, (
            f"the column '{name}' has {len(ranked):,} distinct values in {len(rows):,} rows and is not used as a "
            f"feature (--category '{name}' to use it)"
        )
    arrow_type = str(rows.column(name).type)
    return Column(name, Kind.CATEGORY, arrow_type, tuple(sorted(frequent)), len(frequent) < len(ranked)), ""
