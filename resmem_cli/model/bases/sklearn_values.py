"""Which values the encoders in an estimator of scikit-learn's know: a text here may have been a number there.

"1" of a column of categories is the 1 that a OneHotEncoder was fitted to, and the other way round: both have one text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.bases.table import spelled

Names = Sequence[str | None]
# Where an estimator keeps others that read the same columns.
_WITHIN = ("best_estimator_", "regressor_", "estimator_", "estimator", "_preprocessor")


def known_values(model: Any, names: Names) -> dict[str, Mapping[str, Any]]:
    """Return by column what each of its values is to the first encoder that reads it, by the value's text.

    Args:
        model: the fitted estimator, or a pipeline.
        names: of the columns that it reads, in order.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, values in _read_by(model, names):
        if name is not None and name not in found:
            found[name] = {spelled(value): value for value in values if not _is_missing(value)}
    return found


def as_known(values: NDArray[Any], known: Mapping[str, Any]) -> NDArray[Any]:
    """Return [n] distinct values, missing ones NaN or None, as an encoder knows them: numbers, or objects with NaN.

    A value that it does not know becomes a number if all are that it knows, and if it can be one.
    """
    are_numbers = all(isinstance(value, int | float | np.number) for value in known.values())
    mapped = []
    for value in values:
        text = spelled(value)
        other = _number(text) if are_numbers else text
        mapped.append(np.nan if _is_missing(value) else known.get(text, other))
    # An encoder that was fitted to objects knows Python's own numbers, and compares them with objects alone.
    is_number = all(isinstance(value, np.number) for value in known.values())
    is_number &= all(isinstance(value, int | float | np.number) for value in mapped)
    return np.array(mapped, dtype=np.float64 if is_number else object)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _read_by(model: Any, names: Names) -> Iterator[tuple[str | None, Any]]:
    """Yield columns with the values that an encoder of theirs knows."""
    categories = getattr(model, "categories_", None)
    if isinstance(categories, list):
        if len(categories) == len(names):
            yield from zip(names, categories, strict=True)
    elif hasattr(model, "steps"):
        for _, step in model.steps:
            yield from _read_by(step, names)
            if not _keeps_columns(step):
                break
    elif hasattr(model, "transformers_"):  # of columns
        for part, step, _ in model.transformers_:
            positions = model._transformer_to_input_indices.get(part, ())
            yield from _read_by(step, [names[i] for i in positions])
    elif hasattr(model, "transformer_list"):
        for _, step in model.transformer_list:
            yield from _read_by(step, names)
    else:
        for other in _others(model):
            yield from _read_by(other, names)


def _others(model: Any) -> Iterator[Any]:
    yield from (getattr(model, name) for name in _WITHIN if getattr(model, name, None) is not None)
    for several in ("calibrated_classifiers_", "estimators_"):
        found = getattr(model, several, None)
        if isinstance(found, list) and not hasattr(model, "estimators_features_"):
            yield from found


def _keeps_columns(step: Any) -> bool:
    """Whether a step of a pipeline gives the columns that it reads, one for one and as they are."""
    from sklearn.impute import SimpleImputer

    if step is None or step == "passthrough":
        return True
    if not isinstance(step, SimpleImputer) or step.add_indicator:
        return False
    return step.keep_empty_features or not any(_is_missing(value) for value in step.statistics_)
