"""Muon: matrices take steps that change all directions alike (Jordan et al. 2024, "Muon: an optimizer for hidden
layers").

A gradient of a matrix has few large singular values, so that its steps teach the network the same few directions again
and again. Muon takes the momentum of the gradients and makes all its singular values about 1 before it steps, by an
iteration of matrix products instead of a decomposition. The length of a step is that of Liu et al. 2025 ("Muon is
scalable for LLM training"): a root mean square of 0.2 times the rate, which is what Adam's is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from resmem_cli.model.adam import Adam
from resmem_cli.model.arrays import Arrays, Singles

_MOMENTUM = 0.95
# Coefficients of x, x³ and x⁵ by Jordan et al. An iteration brings large singular values to between .7 and 1.2, and
# makes small ones 3.4 times as large. They take five; three teach as much, and cost less.
_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315
_N_ITERATIONS = 3
_TINY = 1e-7
_ROOT_MEAN_SQUARE = 0.2


@dataclass
class Muon:
    """Muon for the matrices of a network, Adam for what else it has.

    Attributes:
        rate: of the matrices.
        decay: of the matrices, in every step times their rate.
        others: moves the other weights.
        momentum: of the gradients so far, by the name of the matrix.
    """

    rate: float
    decay: float
    others: Adam
    momentum: Arrays = field(default_factory=dict)

    def step(self, weights: Arrays, gradient: Arrays, share: float = 1.0) -> None:
        """Move weights down the gradient of the same names, at a share of the rates."""
        self.others.step(weights, {name: slope for name, slope in gradient.items() if not moves(name)}, share)
        rate = share * self.rate
        for name in filter(moves, gradient):
            slope = np.asarray((1 - _MOMENTUM) * gradient[name])
            self.momentum[name] = np.asarray(_MOMENTUM * self.momentum.get(name, 0) + slope)
            ahead = orthogonal(np.asarray(_MOMENTUM * self.momentum[name] + slope))  # Nesterov's momentum
            length = rate * _ROOT_MEAN_SQUARE * max(ahead.shape) ** 0.5
            weights[name] = ((1 - rate * self.decay) * weights[name] - length * ahead).astype(np.float32)


def moves(name: str) -> bool:
    """Whether Muon moves the weights of this name: those between layers."""
    return name == "out" or name.startswith("layer_")


def orthogonal(matrix: Singles) -> Singles:
    """Return a matrix of the same singular vectors, with values of about 1; what was far smaller stays less."""
    wide: Singles = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = np.asarray(wide / (np.linalg.norm(wide) + _TINY))
    for _ in range(_N_ITERATIONS):
        square = wide @ wide.T
        wide = np.asarray(_LINEAR * wide + (_CUBIC * square + _QUINTIC * (square @ square)) @ wide)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
