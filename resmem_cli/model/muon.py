"""Muon: matrices take steps that change all directions alike (Jordan et al. 2024, "Muon: an optimizer for hidden
layers").

A gradient of a matrix has few large singular values, so that its steps teach the network the same few directions again
and again. Muon takes the momentum of the gradients and makes all its singular values about 1 before it steps, by an
iteration of matrix products instead of a decomposition. The length of a step is that of Liu et al. 2025 ("Muon is
scalable for LLM training"): a root mean square of 0.2 times the rate, which is what Adam's is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from resmem_cli.model.adam import Adam, without_subnormal
from resmem_cli.model.arrays import Arrays, Singles

_MOMENTUM = 0.95
# Coefficients of x, x³ and x⁵ by Jordan et al. An iteration brings large singular values to between .7 and 1.2, and
# makes small ones 3.4 times as large. They take five; three teach as much, and cost less.
_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315
_N_ITERATIONS = 3
_TINY = 1e-7
# What a matrix holds below this share of its length teaches nothing, but powers of it are subnormal numbers, which
# processors multiply many times slower: rows of units that are never active came to that after 700 steps.
_NOTHING = 1e-6
_ROOT_MEAN_SQUARE = 0.2


@dataclass
class Muon:
    """Muon for matrices between the layers of a network, or of several side by side, and Adam for what else there is.

    Attributes:
        rate: of the matrices.
        decay: of the matrices, in every step times their rate.
        moves: whether Muon moves the weights of a name, which are [..., n, m] matrices.
        others: moves the other weights.
        momentum: of the gradients so far, by the name of the matrix.
    """

    rate: float
    decay: float
    moves: Callable[[str], bool]
    others: Adam
    momentum: Arrays = field(default_factory=dict)

    def step(self, weights: Arrays, gradient: Arrays, share: float = 1.0) -> None:
        """Move weights down the gradient of the same names, at a share of the rates."""
        moved = {name: slope for name, slope in gradient.items() if self.moves(name)}
        self.others.step(weights, {name: slope for name, slope in gradient.items() if name not in moved}, share)
        rate = share * self.rate
        for name, whole in moved.items():
            slope = np.asarray((1 - _MOMENTUM) * whole)
            self.momentum[name] = without_subnormal(np.asarray(_MOMENTUM * self.momentum.get(name, 0) + slope))
            ahead = orthogonal(np.asarray(_MOMENTUM * self.momentum[name] + slope))  # Nesterov's momentum
            length = rate * _ROOT_MEAN_SQUARE * max(ahead.shape[-2:]) ** 0.5
            weights[name] = ((1 - rate * self.decay) * weights[name] - length * ahead).astype(np.float32)


def orthogonal(matrices: Singles) -> Singles:
    """Return [..., n, m] matrices of the same singular vectors, with values of about 1; far smaller ones stay less."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    wide = np.swapaxes(matrices, -1, -2) if is_tall else matrices
    wide = np.asarray(wide / (np.linalg.norm(wide, axis=(-2, -1), keepdims=True) + _TINY))
    wide[np.abs(wide) < _NOTHING] = 0
    for _ in range(_N_ITERATIONS):
        square = wide @ np.swapaxes(wide, -1, -2)
        wide = np.asarray(_LINEAR * wide + (_CUBIC * square + _QUINTIC * (square @ square)) @ wide)
    return np.swapaxes(wide, -1, -2) if is_tall else wide
