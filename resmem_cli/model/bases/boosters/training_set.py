"""What a library of boosted trees is to learn: on which rows, stopped by which, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases.boosted import EARLY_STOPPING_FROM_ROWS, MANY_CLASSES
from resmem_cli.model.bases.protocol import Problem

# The parameters that are the same for all: of None, the default, the number of rows decides.
SHARED: dict[str, Any] = {"bags": 1, "n_estimators": None, "learning_rate": None, "early_stopping_rounds": None}
# Of few rows.
SHORT: Mapping[str, Any] = {"n_estimators": 100, "learning_rate": 0.1, "early_stopping_rounds": 0}
_LONG = {"n_estimators": 2_000, "learning_rate": 0.05, "early_stopping_rounds": 50}
_SEEDS = 1 << 31
_LONG_OF_MANY_CLASSES = {"n_estimators": 500, "learning_rate": 0.1, "early_stopping_rounds": 20}


@dataclass(frozen=True)
class Sample:
    """Rows.

    Attributes:
        X: [n, d] encoded features.
        y: [n] targets; for classification positions among the classes that occur.
        weight: [n] of the rows, or None.
    """

    X: Floats
    y: Floats
    weight: Floats | None

    def take(self, rows: Any) -> Sample:
        return Sample(self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows])


@dataclass(frozen=True)
class TrainingSet:
    """What there is to learn, and for how long.

    Attributes:
        fitted: the rows to fit on.
        held: the rows to stop by, or None.
        every: all rows, if the model is to be fitted to these again once it is known when to stop; otherwise None.
        categories: which features are categories.
        classes: [m] codes of the classes that occur; empty for regression.
        seed: what every random step starts from.
        n_rounds: how many trees, at most, of each output.
        patience: after how many rounds without a gain on the held rows to stop.
        params: the library's own, with the learning rate.
    """

    fitted: Sample
    held: Sample | None
    every: Sample | None
    categories: tuple[int, ...]
    classes: Integers
    seed: int
    n_rounds: int
    patience: int
    params: Mapping[str, Any]

    @property
    def n_classes(self) -> int:
        """How many classes are to be told apart: 0 for regression, and where there is but one."""
        return len(self.classes) if len(self.classes) > 1 else 0

    @classmethod
    def plan(
        cls,
        sample: Sample,
        problem: Problem,
        params: Mapping[str, Any],
        short: Mapping[str, Any] = SHORT,
        which: int = 0,
    ) -> TrainingSet:
        """Lay out encoded rows, with class codes as targets, and the user's parameters; `short` is for few rows.

        Each of several models, of which it is said `which`, has a seed of its own and, where some are held out to stop
        by, other such rows.

        Raises:
            UsageError: one of the parameters that are the same for all is out of its range.
        """
        if sample.weight is not None:  # a row without weight shall not even say where a feature is split
            weighs = np.flatnonzero(sample.weight > 0)
            sample = sample.take(weighs)
            related = None if problem.related is None else problem.related.take(weighs)
            problem = replace(problem, related=related)
        given = {name: value for name, value in params.items() if value is not None}
        _refuse_out_of_range(given)
        classes = np.empty(0, dtype=np.int64)
        if not problem.is_regression:
            present, positions = np.unique(sample.y, return_inverse=True)
            classes, sample = present.astype(np.int64), replace(sample, y=positions.astype(np.float64))
        long = _LONG_OF_MANY_CLASSES if len(classes) > MANY_CLASSES else _LONG
        schedule = {**(long if len(sample.y) >= EARLY_STOPPING_FROM_ROWS else short), **given}
        schedule.pop("bags", None)
        n_rounds, patience = int(schedule.pop("n_estimators")), int(schedule.pop("early_stopping_rounds"))
        if len(classes) == 1:  # nothing to learn: any model will do
            n_rounds, patience, schedule = 1, 0, {}
        fitted, held = problem.stopping_splits(sample.X, sample.y, first=which)[0] if patience else ((), ())
        stops = len(fitted) > 0 and len(held) > 0
        return cls(
            fitted=sample.take(fitted) if stops else sample,
            held=sample.take(held) if stops else None,
            every=sample if stops and problem.is_refitted else None,
            categories=tuple(i for i, count in enumerate(problem.n_categories) if count > 0),
            classes=classes,
            seed=(problem.seed + which) % _SEEDS,
            n_rounds=n_rounds,
            patience=patience,
            params=schedule,
        )

    def again(self, n_rounds: int) -> TrainingSet | None:
        """Return what is to be learned once more, from all rows in so many rounds; None if nothing is."""
        if self.every is None:
            return None
        return replace(self, fitted=self.every, held=None, every=None, n_rounds=n_rounds)


def _refuse_out_of_range(params: Mapping[str, Any]) -> None:
    for name, least in (("n_estimators", 1), ("early_stopping_rounds", 0)):
        value = params.get(name, least)
        if not isinstance(value, int) or value < least:
            raise UsageError(f"{name} is {value!r}, not a whole number of {least} or more", "correct the --param")
    rate = params.get("learning_rate", 1.0)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise UsageError(f"learning_rate is {rate!r}, not a number of more than 0", "correct the --param")
