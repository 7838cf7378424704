"""Which encoded columns a model of boosted trees reads, and what it calls their categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import WHOLE, Arrays, Floats, Integers, stored
from resmem_cli.model.bases.table import Field, Table, spelled

_MOST_LISTED = 8

# The values of a feature that a model reads as a category, by its code; None where its file does not say them.
Categories = Sequence[Any] | None


@dataclass(frozen=True)
class Inputs:
    """What becomes of [n, d] encoded rows before a model reads them.

    Attributes:
        columns: [p] the encoded column of each of the model's features.
        recodings: by feature, where the model has codes or names of its own: [count + 1] what it calls each encoded
            code, and last what it calls a missing value and one that it does not know.
    """

    columns: Integers
    recodings: Mapping[int, NDArray[Any]]

    def codes(self, X: Floats, feature: int) -> Integers:
        """Return [n] for a feature that has a recoding which of its entries each row has."""
        last = len(self.recodings[feature]) - 1
        codes = np.nan_to_num(X[:, self.columns[feature]], nan=last).astype(np.int64)
        return np.minimum(codes, last)

    def numbers(self, X: Floats) -> Floats:
        """Return [n, p] the features of a model that calls categories by numbers."""
        read = X[:, self.columns]
        for feature, recoding in self.recodings.items():
            read[:, feature] = recoding[self.codes(X, feature)]
        return read

    def to_arrays(self) -> Arrays:
        recodings = {f"recoding_{feature}": recoding for feature, recoding in self.recodings.items()}
        return {"columns": self.columns, **recodings}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        named = {name: array for name, array in arrays.items() if name.startswith("recoding_")}
        recodings = {int(name.removeprefix("recoding_")): array for name, array in named.items()}
        columns = stored(arrays, "columns", WHOLE, None)
        for feature, recoding in recodings.items():
            if feature not in range(len(columns)) or recoding.dtype.kind not in "fU" or recoding.ndim != 1:
                raise ValueError(f"the categories of feature {feature} have an unknown type")
            if len(recoding) == 0:
                raise ValueError(f"it has no name for a missing value of feature {feature}")
        return cls(columns, recodings)


class Source(NamedTuple):
    """Where a feature of a model's comes from: an encoded column, which holds a field or a number of a vector."""

    field: Field
    column: int


def find_sources(
    table: Table, names: Sequence[str], *, numbered: str, categories: Mapping[int, Categories]
) -> list[Source]:
    """Return where the features of a model from elsewhere come from.

    Args:
        table: the columns that there are.
        names: of the model's features; if it has none of its own, what the library calls them.
        numbered: how the library calls feature {}. Such features are the columns in order, a vector being several.
        categories: by feature, of those that the model reads as categories.

    Raises:
        UsageError: a column is missing or of another kind, or there are more or fewer of them.
    """
    known = {field.name for field in table.fields}
    is_in_order = list(names) == [numbered.format(i) for i in range(len(names))] and not known.issuperset(names)
    sources = _in_order(table, len(names)) if is_in_order else [_single(table.field(name)) for name in names]
    for feature, source in enumerate(sources):
        _refuse_other_kind(source.field, feature in categories, categories.get(feature))
    return sources


def said_of(sources: Sequence[Source], names: Sequence[str]) -> tuple[str, ...]:
    """Return what is to be said of features that are found by their position: which column each is taken for."""
    columns = [source.field.name for source in sources]
    if list(names) == columns:
        return ()
    pairs = [f"{name} is '{column}'" for name, column in zip(names, columns, strict=True)]
    listed = ", ".join(pairs if len(pairs) <= _MOST_LISTED else [*pairs[: _MOST_LISTED - 1], "…", pairs[-1]])
    return (f"the model has no feature names: the columns are used in order, {listed}",)


def inputs_by_code(sources: Sequence[Source], categories: Mapping[int, Categories]) -> Inputs:
    """Return the inputs of a model that calls a category by its position among the model's values.

    A value that is not among them is missing: NaN. Where the file does not say them, numbers are the codes.
    """
    recodings = {}
    for feature, values in categories.items():
        if values is not None:
            codes = {spelled(value): float(code) for code, value in enumerate(values)}
            codes |= {str(value): float(code) for code, value in enumerate(values)}
            field = sources[feature].field
            texts = ("false", "true") if field.kind == "boolean" else field.categories
            recodings[feature] = np.array(
                [*(codes.get(text, codes.get(spelled(text), np.nan)) for text in texts), np.nan]
            )
    return Inputs(columns_of(sources), recodings)


def columns_of(sources: Sequence[Source]) -> Integers:
    return np.array([source.column for source in sources], dtype=np.int64)


def _in_order(table: Table, n_features: int) -> list[Source]:
    found = [Source(field, field.start + i) for field in table.fields for i in range(field.width)]
    if len(found) != n_features:
        raise UsageError(
            f"the model reads {n_features} unnamed features, and the columns given make {len(found)}",
            "name the columns that it was trained on, in order, with --features",
        )
    return found


def _single(field: Field) -> Source:
    if field.kind == "vector":
        raise UsageError(
            f"the model reads one number from '{field.name}', and the column holds vectors",
            "give every number of the vector a column of its own",
        )
    return Source(field, field.start)


def _refuse_other_kind(field: Field, is_category: bool, values: Categories) -> None:
    if field.kind == "timestamp":
        raise UsageError(
            f"the model reads a number from '{field.name}', and the column holds times",
            "write them as the numbers that it was trained on",
        )
    if field.kind == "category" and not is_category:
        raise UsageError(
            f"the model reads numbers from '{field.name}', and the column holds categories",
            "write them as the numbers that it was trained on",
        )
    if field.kind == "category" and values is None:
        raise UsageError(
            f"the file does not say which codes the model has for the categories of '{field.name}'",
            "write the model's predictions as columns and use --predictions or --probabilities",
        )
    if field.kind in ("number", "vector") and values is not None:
        raise UsageError(
            f"the model reads categories from '{field.name}', and the column holds numbers",
            f"mark the column as categorical: --category '{field.name}'",
        )
