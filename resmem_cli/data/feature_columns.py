"""Which columns are features, of which kind, and what is to be said of those that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from resmem_cli.data import categories, kinds
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column
from resmem_cli.errors import DataError

if TYPE_CHECKING:  # which has its features chosen here
    from resmem_cli.data.inference import Roles

_MOST_REPORTED = 5  # columns in one error
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name in Parquet


class ColumnErrors:
    """The errors of several columns, so that all are reported at once."""

    def __init__(self) -> None:
        self._errors: dict[str, DataError] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            self._errors[name] = error

    def raise_if_any(self) -> None:
        if not self._errors:
            return
        first, *others = self._errors.values()
        if not others:
            raise first
        messages = [error.message for error in (first, *others[: _MOST_REPORTED - 1])]
        n_more = len(self._errors) - len(messages)
        named = ",".join(self._errors)
        raise DataError(
            "; ".join(messages) + (f"; and {n_more:,} more columns" if n_more else ""),
            f"correct these, use --category '{named}' if they are categorical, or leave them out with --drop '{named}'",
        )


def choose(
    rows: Rows, candidates: Sequence[str], roles: Roles, *, from_text: bool, with_levels: bool
) -> tuple[tuple[Column, ...], list[str]]:
    """Return the features, and why other columns are none; `categories.learn` says what `with_levels` does.

    Raises:
        DataError: columns cannot be what they are to be, or none is left.
    """
    columns, notes, empty, errors = [], list[str](), list[str](), ColumnErrors()
    for name in candidates:
        with errors.of(name):
            if _is_missing(rows, name, roles) and name not in roles.features:
                empty.append(name)
                continue
            column, its_notes = _column(rows, name, roles, from_text=from_text, with_levels=with_levels)
            columns += [column] if column else []
            notes += its_notes
    errors.raise_if_any()
    if empty:
        several, quoted = len(empty) > 1, [f"'{name}'" for name in empty]
        notes.append(
            f"the column{'s' * several} {', '.join(quoted)} {'are' if several else 'is'} missing in every "
            f"row and {'are' if several else 'is'} not used as {'features' if several else 'a feature'}"
        )
    if not columns:
        raise DataError(
            f"{rows.source} has no column that can be a feature" + (f" ({'; '.join(notes)})" if notes else ""),
            "add columns, or check --features and --drop",
        )
    return tuple(columns), notes


def _column(
    rows: Rows, name: str, roles: Roles, *, from_text: bool, with_levels: bool
) -> tuple[Column | None, list[str]]:
    """Return the column as a feature, or None, and notes on it."""
    values, forced, wanted = rows.column(name), name in roles.categories, name in roles.features
    kind = Kind.CATEGORY if forced else kinds.kind_of(values.type)
    if _is_index(name) and not (forced or wanted):
        what = f"the index column '{name}'" if name else "a column without a name (an index?)"
        return None, [f"{what} is not used as a feature"]
    if _is_missing(rows, name, roles):
        raise DataError(
            f"{rows.source}: the column '{name}' is missing in every row", f"leave it out with --drop '{name}'"
        )
    if kind is None:
        if wanted:
            raise DataError(f"{rows.source}: the column '{name}' of type {values.type} cannot be a feature", "drop it")
        return None, [f"the column '{name}' of type {values.type} is not used as a feature"]
    if kind is Kind.VECTOR:
        return _vector(rows, name, wanted=wanted)
    if kind is not Kind.CATEGORY:
        return Column(name, kind, str(values.type)), []
    return categories.learn(rows, name, roles, from_text=from_text, with_levels=with_levels)


def _is_index(name: str) -> bool:
    return not name or _PANDAS_INDEX.fullmatch(name) is not None


def _vector(rows: Rows, name: str, *, wanted: bool) -> tuple[Column | None, list[str]]:
    """Return a column of vectors as a feature; one that is not of one length is none, unless the user names it."""
    try:
        vectors = kinds.as_vector(rows, name)
    except DataError as error:
        if wanted:
            raise
        return None, [f"the column '{name}' is not used as a feature: {error.message}"]
    return Column(name, Kind.VECTOR, str(rows.column(name).type), length=vectors.shape[1]), []


def _is_missing(rows: Rows, name: str, roles: Roles) -> bool:
    """Whether no row has a value; a number that is infinite or too large is refused on the way."""
    values, forced = rows.column(name), name in roles.categories
    kind = Kind.CATEGORY if forced else kinds.kind_of(values.type)
    if _is_index(name) and not (forced or name in roles.features):
        return False  # which has a reason of its own not to be used
    if kind is Kind.NUMBER:
        return bool(np.isnan(kinds.as_number(rows, name)).all())
    if kind is Kind.CATEGORY:
        values = kinds.as_category(rows, name)
    return bool(values.null_count == len(values))
