"""What metrics need of the targets alone: their weight, their mean and their squared deviations from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resmem_cli.model.arrays import Floats

_ROUND_OFF = 1e-12  # of a sum of squares, relative to it


@dataclass(frozen=True)
class Targets:
    """The targets of some rows, weighed in K ways.

    The squares are taken about the mean of each weighing, and merged by Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance", 1983: as differences of sums they would be lost where targets are large and alike.

    Attributes:
        n_outputs: how many outputs a prediction has.
        weight: [K] the sum of the weights.
        mean: [K] of the targets; 0 without weight.
        squares: [K] the weighted sum of the squares of their distances from the mean.
    """

    n_outputs: int
    weight: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, n_outputs: int, centre: float, sums: Floats) -> Targets:
        """Return what follows from [3, K] sums of weights, distances from a number amid the targets, and squares."""
        weight, distance, square = sums
        has_weight = weight > 0
        mean = np.divide(distance, weight, out=np.zeros_like(weight), where=has_weight)
        squares = square - distance * mean
        squares *= squares > _ROUND_OFF * square  # what is left of equal targets is rounding
        return cls(n_outputs, weight, np.where(has_weight, centre + mean, 0.0), squares)

    def merged(self, other: Targets) -> Targets:
        """Return those of both."""
        weight = self.weight + other.weight
        share = np.divide(other.weight, weight, out=np.zeros_like(weight), where=weight > 0)
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * share * self.weight
        return Targets(self.n_outputs, weight, self.mean + apart * share, squares)
