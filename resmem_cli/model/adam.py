"""Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from resmem_cli.model.arrays import Arrays, Singles
from resmem_cli.model.network import is_layer

_MOMENTUM, _TINY = 0.9, 1e-8
# Momentum of weights without gradients falls until it is subnormal, and then slows every step; it is 0 long before.
_NOTHING = 1e-20
_CLEARED_EVERY = 100  # steps


@dataclass
class Adam:
    """What Adam remembers of the gradients so far.

    Attributes:
        rate: gives the rate of a weight by its name.
        decay: of the matrices, in every step times their rate.
        second_momentum: how slowly the size of the gradients is forgotten.
    """

    rate: Callable[[str], float]
    decay: float
    second_momentum: float = 0.999
    n_steps: int = 0
    first: Arrays = field(default_factory=dict)
    second: Arrays = field(default_factory=dict)

    def step(self, weights: Arrays, gradient: Arrays, share: float = 1.0) -> None:
        """Move weights down the gradient of the same names, at a share of the rates."""
        self.n_steps += 1
        of_first, of_second = 1 - _MOMENTUM**self.n_steps, 1 - self.second_momentum**self.n_steps
        for name, slope in gradient.items():
            if name not in self.first:
                self.first[name], self.second[name] = np.zeros_like(slope), np.zeros_like(slope)
            first, second = self.first[name], self.second[name]
            # In place: in small networks these passes are half of the work.
            first *= _MOMENTUM
            first += (1 - _MOMENTUM) * slope
            if self.n_steps % _CLEARED_EVERY == 0:
                without_subnormal(first)
            second *= self.second_momentum
            second += (1 - self.second_momentum) * np.square(slope)
            moved = np.asarray(np.sqrt(second))
            moved *= of_second**-0.5
            moved += _TINY
            np.divide(first, moved, out=moved)
            rate = float(share * self.rate(name))
            moved *= rate / of_first
            kept = 1 - rate * self.decay if is_matrix(name) else 1.0
            weights[name] = (kept * weights[name] - moved).astype(np.float32)


def without_subnormal(momentum: Singles) -> Singles:
    """Set to 0, in place, what is too small to matter."""
    momentum[np.abs(momentum) < _NOTHING] = 0
    return momentum


def is_matrix(name: str) -> bool:
    """Whether weights are a matrix of the network, and neither scales nor biases nor what starts at 0."""
    return name in ("out", "wave") or is_layer(name)
