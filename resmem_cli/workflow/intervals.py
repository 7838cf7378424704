"""Prediction intervals of a stored model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.errors import UsageError
from resmem_cli.model import conformal
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.resmem import Prediction
from resmem_cli.store.reading import StoredModel


@dataclass(frozen=True)
class Intervals:
    """What intervals about predictions are made of, and how probable it is to be that they hold the truth."""

    calibration: Calibration
    level: float

    @classmethod
    def load(cls, stored: StoredModel, model: Path, level: float) -> Intervals:
        """Return those of a stored model.

        Raises:
            UsageError: no rows, or too few, were held out when the memory was fitted.
        """
        if stored.calibration is None:
            raise UsageError(
                f"the memory of '{model}' has no held-out rows to tell intervals by",
                "run fit-residual with --folds 2 or more",
            )
        if math.isinf(stored.calibration.quantile(level)):
            n_rows = stored.calibration.n_rows
            raise UsageError(
                f"{n_rows:,} held-out rows cannot promise {100 * level:g} %",
                f"ask for at most --interval {math.floor(1e4 * n_rows / (n_rows + 1)) / 1e4:g}",
            )
        return cls(stored.calibration, level)

    def about(self, predicted: Prediction) -> tuple[Floats, Floats] | NDArray[np.bool_]:
        """Return the [n] ends of intervals about predictions of numbers with their spread; [n, classes] of classes."""
        if predicted.spread is None:
            return conformal.sets(predicted.resmem, self.calibration, self.level)
        return conformal.interval(predicted.resmem[:, 0], predicted.spread, self.calibration, self.level)
