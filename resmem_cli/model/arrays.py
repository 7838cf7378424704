"""The array types that the method's signatures use, and the check of those that come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

# Of stored arrays.
FLOAT, SINGLE, WHOLE, TRUTH = np.float64, np.float32, np.int64, np.bool_
HASH, BYTE = np.uint64, np.uint8
_SHOWN = 60

# Of more classes, probabilities of every class for all rows are not held at once, nor every class of a residual.
MOST_DENSE = 100
_MOST_AT_ONCE = 4_000_000  # probabilities


def quotients(of: Floats, by: Floats) -> Floats:
    """Return one array divided by another, NaN where that is not above 0."""
    found = np.full(np.broadcast_shapes(of.shape, by.shape), np.nan)
    np.divide(of, by, out=found, where=by > 0)
    return found


def mean_of_known(values: Floats) -> Floats:
    """Return [K] means of the columns of [n, K] values without those that are NaN; NaN where all are."""
    known = ~np.isnan(values)
    return quotients(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))


def is_in_sorted(values: NDArray[Any], ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Return [n] whether each value is among ascending ones; what `np.isin` gives, which sorts them every time."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[at] == values
    return found


def row_blocks(n_rows: int, n_outputs: int) -> list[slice]:
    """Return slices of the rows, of which all probabilities can be held; one slice if the classes are few."""
    step = max(1, n_rows if n_outputs <= MOST_DENSE else _MOST_AT_ONCE // n_outputs)
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def stored(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: type, *shape: int | None, finite: bool = True
) -> NDArray[Any]:
    """Return a stored array of this type and shape.

    Args:
        arrays: what was stored.
        name: of the array.
        dtype: of its values.
        shape: of it; None of a dimension that may have any length.
        finite: whether no value may be infinite or NaN.

    Raises:
        KeyError: there is none.
        ValueError: it has another type or shape, or holds what is no number.
    """
    array = arrays[name]
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = "x".join("any" if n is None else str(n) for n in shape) or "one"
        found = "x".join(map(str, array.shape)) or "one"
        raise ValueError(f"{name} holds {found} of {array.dtype!s:.{_SHOWN}}, not {wanted} of {np.dtype(dtype)}")
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array


def stored_number(arrays: Arrays, name: str, dtype: type, *, finite: bool = True) -> Any:
    """Return the one value of a stored array of a single element; KeyError or ValueError as `stored`."""
    array = arrays[name]
    return stored({name: array.reshape(-1)}, name, dtype, 1, finite=finite)[0].item()


def stored_codes(arrays: Arrays, name: str, n_codes: int, *shape: int | None) -> NDArray[Any]:
    """Return stored codes from 0, as whole numbers or floats; KeyError or ValueError as `stored`, or if one is none."""
    dtype = WHOLE if arrays[name].dtype.kind == "i" else FLOAT
    codes = stored(arrays, name, dtype, *shape)
    if len(codes) and not (((codes >= 0) & (codes < n_codes)).all() and (codes == np.floor(codes)).all()):
        raise ValueError(f"{name} holds codes outside 0 to {n_codes - 1}")
    return codes
