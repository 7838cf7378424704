"""Whether a stored model works: it predicts a few made rows, which shows what no hash and no shape can."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from resmem_cli.data.places import Place
from resmem_cli.errors import DataError, ModelError, ResmemError, UsageError
from resmem_cli.model import bases
from resmem_cli.model.arrays import Floats
from resmem_cli.model.resmem import ResMem
from resmem_cli.store.stored import StoredBase

_AGAIN = "fit the model again"


@contextmanager
def used(directory: Place) -> Iterator[None]:
    """Turn what a stored model fails by in use, which loading it does not show, into an error that says so.

    Raises:
        ModelError: something went wrong that is no error of ours, or the model is refused as one given anew would be.
    """
    try:
        yield
    except UsageError as error:
        raise ModelError(f"the model '{directory}' cannot be used: {error.message}", _AGAIN) from error
    except (ResmemError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged model ends in whatever its library stumbles over
        raise ModelError(
            f"the model '{directory}' cannot be used ({type(error).__name__}: {error})",
            f"fit it again; if resmem verify --model {directory} finds it sound, please report it",
        ) from error


def refuse_unusable(directory: Path, stored: StoredBase, resmem: ResMem | None = None) -> None:
    """Refuse bases, and their memories, that cannot predict, or what they predict is no number.

    Raises:
        ModelError: one of them does not.
    """
    _refuse_other_params(directory, stored)
    X = made_rows(stored)
    with warnings.catch_warnings(), np.errstate(all="ignore"), used(directory):
        warnings.simplefilter("ignore")
        usable = [
            _usable(f"base {i} of '{directory}'", base.predict, X, stored.problem.n_outputs)
            for i, base in enumerate(stored.bases)
        ]
        for base, rows in zip(stored.bases, usable, strict=True):
            if np.any(rows):
                base.represent(X[rows])
        if resmem is None:
            return
        X = X[np.all(usable, axis=0)]
        if len(X):
            done = resmem.predict(X, with_place=True)
            arrays = [array for array in (done.resmem, done.neighbor_std, done.distance) if array is not None]
            if done.resmem.shape != (len(X), stored.problem.n_outputs) or not all(
                np.isfinite(array).all() for array in arrays
            ):
                raise ModelError(
                    f"the memory of '{directory}' predicts values that are not finite", "run fit-residual again"
                )


def _refuse_other_params(directory: Path, stored: StoredBase) -> None:
    """Refuse parameters that the bases, which the folds may have to fit again, do not have."""
    for spec in stored.specs:
        kind = bases.ESTIMATORS.get(spec.estimator)
        known = () if kind is None or not spec.can_refit else bases.parameters(spec.estimator, stored.problem)
        unknown = set(spec.params) - set(known)
        if unknown or (kind is None and spec.can_refit):
            what = f"the unknown parameter '{min(unknown)}'" if unknown else "an estimator that cannot be fitted again"
            raise ModelError(f"a base of '{directory}' of the kind {spec.estimator} has {what}", _AGAIN)


def made_rows(stored: StoredBase) -> Floats:
    """Return [4, width] encoded rows that a schema allows: usual values, small ones, last categories, and none."""
    counts = np.array(stored.problem.n_categories)
    features = np.array([_usual(stored), np.zeros(len(counts)), np.ones(len(counts)), np.full(len(counts), np.nan)])
    features[:2, counts > 0] = 0
    features[2, counts > 0] = counts[counts > 0] - 1
    for start, stop in stored.problem.vectors.values():  # which are never missing
        features[3, start:stop] = 0
    levels = np.array([[0, 0, count - 1, np.nan] for count in stored.problem.levels.values()]).reshape(-1, 4).T
    given = stored.schema.width - len(counts) - levels.shape[1]
    return np.hstack([features, levels, np.full((len(features), given), 1 / max(given, 2))])


def _usual(stored: StoredBase) -> Floats:
    """Return [d] the middle of every number, as far as one of the bases knows it."""
    usual = np.zeros(len(stored.problem.n_categories))
    scalers = (getattr(base, "scaler", None) for base in stored.bases)
    scaler = next((each for each in scalers if each is not None), None)
    if scaler is not None:
        usual[np.array(scaler.n_categories) == 0] = scaler.knots[:, scaler.knots.shape[1] // 2]
    return usual


def _usable(name: str, predict: Callable[[Floats], Floats], X: Floats, n_outputs: int) -> list[bool]:
    """Return which of the rows a base predicts: one from elsewhere may refuse some, but not all."""
    usable, refusal = [], None
    for row in X:
        try:
            predicted = predict(row[None])
        except DataError as error:  # such as missing values, or categories that it does not know
            usable.append(False)
            refusal = error
            continue
        except ResmemError as error:
            raise ModelError(f"{name} cannot predict: {error.message}", _AGAIN) from error
        if predicted.shape != (1, n_outputs):
            raise ModelError(f"{name} predicts {predicted.shape[-1]} numbers per row, not {n_outputs}", _AGAIN)
        usable.append(bool(np.isfinite(predicted).all()))
        if not usable[-1] and not np.isnan(row).any():
            raise ModelError(f"{name} predicts values that are not finite", _AGAIN)
    if refusal is not None and not any(usable):
        raise ModelError(f"{name} predicts no row: {refusal.message}", _AGAIN)
    return usable
