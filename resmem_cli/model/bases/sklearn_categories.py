"""What a pipeline of scikit-learn's calls the categories of its columns: its encoders may know numbers, not text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.bases.table import spelled

# Where estimators hold those that they are made of.
_INNER = ("best_estimator_", "regressor_", "estimators_", "calibrated_classifiers_", "estimator")


def own_categories(model: Any, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return by column of a DataFrame the values that the model's first encoder of it knows, if it has one."""
    found: dict[str, NDArray[Any]] = {}
    for name, values in _of(model, tuple(names)):
        found.setdefault(name, values)
    return found


def recoded(categories: Sequence[str], own: NDArray[Any]) -> NDArray[np.object_]:
    """Return [len(categories) + 1] what a model calls each category, and last what it calls a missing one: NaN.

    A category that it does not know stays text, unless the model knows numbers alone: then it is missing, too.
    """
    by_form = {spelled(value): value for value in own.tolist() if value is not None and value == value}  # noqa: PLR0124
    are_numbers = own.dtype.kind in "iufb"
    values = [by_form.get(spelled(text), np.nan if are_numbers else text) for text in categories]
    recoding = np.empty(len(categories) + 1, dtype=object)
    recoding[:] = [*values, np.nan]
    return recoding


def _of(model: Any, names: tuple[str, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, Pipeline

    if isinstance(model, Pipeline):
        for _, step in model.steps:
            yield from _of(step, names)
            if not isinstance(step, SimpleImputer):  # whose columns are those that it is given
                break
    elif isinstance(model, ColumnTransformer):
        for _, step, columns in getattr(model, "transformers_", ()):  # which one that is not fitted has not
            yield from _of(step, _picked(columns, names))
    elif isinstance(model, FeatureUnion):
        for _, step in model.transformer_list:
            yield from _of(step, names)
    elif isinstance(known := getattr(model, "categories_", None), list) and len(known) == len(names):
        yield from ((name, np.asarray(values)) for name, values in zip(names, known, strict=True))
    else:
        for inner in (getattr(model, name, None) for name in _INNER):
            for each in inner if isinstance(inner, list) else [inner]:
                if each is not None and not isinstance(each, str):
                    yield from _of(each, names)


def _picked(columns: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the columns that a transformer takes, which are named, counted, sliced or masked."""
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, slice) and not isinstance(columns.start, str) and not isinstance(columns.stop, str):
        return names[columns]
    if isinstance(columns, slice):
        start = names.index(columns.start) if columns.start in names else 0
        stop = names.index(columns.stop) + 1 if columns.stop in names else len(names)
        return names[start:stop]
    picked = np.asarray(columns)
    if picked.ndim == 1 and picked.dtype.kind == "b" and len(picked) == len(names):
        return tuple(np.array(names, dtype=object)[picked].tolist())
    if picked.ndim == 1 and picked.dtype.kind == "i" and (np.abs(picked) < len(names)).all():
        return tuple(names[i] for i in picked.tolist())
    return tuple(map(str, picked.ravel().tolist()))
