"""Principal components: few directions in which points differ most, so that their distances are nearly kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import SINGLE, Arrays, Floats, Singles, stored

_MOST_ROWS = 20_000  # that they are computed of
_LEAST_STD = 1e-30


@dataclass(frozen=True)
class Axes:
    """Orthogonal directions of equal length.

    Attributes:
        directions: [p, r].
        middle: [r] where the mean of the training points lies along each.
    """

    directions: Singles
    middle: Singles

    @classmethod
    def fit(cls, points: NDArray[Any], n_axes: int) -> Self:
        """Return the directions of the largest variance of [n, p] points; the mean variance along them is 1."""
        from sklearn.utils.extmath import randomized_svd

        sample = points[:: -(-len(points) // _MOST_ROWS)].astype(np.float64)
        mean = sample.mean(axis=0)
        sample -= mean
        n = min(n_axes, *sample.shape)
        _, sizes, rows = randomized_svd(sample, n, random_state=0)
        std = float(np.linalg.norm(sizes)) / np.sqrt(len(sample) * n)
        # Points that are all but equal have no scale of their own.
        directions = (rows.T / (std if std > _LEAST_STD else 1.0)).astype(np.float32)
        return cls(directions, (mean @ directions).astype(np.float32))

    @property
    def n_axes(self) -> int:
        return int(self.directions.shape[1])

    def along(self, points: NDArray[Any]) -> Singles:
        """Return [n, r] where [n, p] points lie.

        In double precision, because equal points must stay equal: the last bit of a matrix product depends on where in
        the batch a row stands.
        """
        exact: Floats = points.astype(np.float64) @ self.directions.astype(np.float64) - self.middle
        return exact.astype(np.float32)

    def to_arrays(self) -> Arrays:
        return {"axes": self.directions, "middle": self.middle}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_inputs: int) -> Self | None:
        """Return the directions that were stored, or None if there were none.

        Raises:
            KeyError, ValueError: the arrays do not fit together.
        """
        if "axes" not in arrays:
            return None
        directions = stored(arrays, "axes", SINGLE, n_inputs, None)
        return cls(directions, stored(arrays, "middle", SINGLE, directions.shape[1]))
