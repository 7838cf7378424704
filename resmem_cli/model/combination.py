"""The mean of several corrected models: which of them, and with what weights.

Corrected models of different bases or representations err differently, so the mean of two is often better than either.
They are picked one after the other, each time the one that improves the mean most, and one may be picked again: that
makes the weights (ensemble selection, Caruana et al. 2004). As there, the picks go on where one of them does not help,
and the best mean on the way is kept.

Hardly anything holds back a model that adds little. The folds see what an encoder is worth together with the luck of
its training, and the memory trains it again: a mean evens that out. On rows that no choice has seen, the
gain is larger so than where a further model has to be better by a standard error (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

import numpy as np

from resmem_cli.model.arrays import Floats

_PICKS = 8  # or as many as may share the mean
_NEGLIGIBLE = 1e-4  # of the loss: no gain that is worth a memory

Loss = Callable[[Floats], Floats]
CostFactor = Callable[[Sequence[int]], float]


def combined(predictions: Sequence[Floats], weights: Floats) -> Floats:
    """Return the weighted mean of several [n, outputs] predictions; the weights sum to 1."""
    return sum_in_order([weight * each for weight, each in zip(weights, predictions, strict=True) if weight > 0])


def sum_in_order(parts: Iterable[Floats]) -> Floats:
    """Return the sum of arrays of one shape, added one after the other.

    NumPy adds eight arrays of one row in another order than those of many, and a row predicted alone would differ.
    """
    return reduce(np.add, parts)


def in_base(weights: Sequence[float]) -> list[int]:
    """Return the positions of the bases that make the base: those with a weight, or without any weights the first."""
    return [i for i, weight in enumerate(weights) if weight > 0] or [0]


def mean_of_bases(predictions: Mapping[int, Floats], weights: Sequence[float]) -> Floats:
    """Return the base's [n, outputs] predictions: the weighted mean of those of several, or without weights the first.

    Args:
        predictions: by the position of a base; those of weight 0 may be missing.
        weights: of each base, which sum to 1; or none.
    """
    first, *others = own = in_base(weights)
    if not others:
        return predictions[first]
    return combined([predictions[i] for i in own], np.array([weights[i] for i in own]))


def no_cost(_: Sequence[int]) -> float:
    """Return the factor of models whose cost does not count."""
    return 1.0


def combine(
    predictions: Sequence[Floats],
    loss: Loss,
    row_weight: Floats,
    most: int,
    cost_factor: CostFactor = no_cost,
    *,
    uncounted: int | None = None,
) -> Floats:
    """Return the [m] weights, of which at most `most` are above 0, whose mean has the least loss times cost.

    Args:
        predictions: m times [n, outputs].
        loss: gives the [n] losses of [n, outputs] predictions.
        row_weight: [n].
        most: how many may share the mean.
        cost_factor: what the loss of the mean of some of them, by position, is multiplied by.
        uncounted: the position of one that may share the mean beside the `most`.
    """
    times, total = np.zeros(len(predictions)), np.zeros_like(predictions[0])
    least, weights = np.inf, np.zeros(len(predictions))
    for n in range(1, max(_PICKS, most) + 1):
        is_full = sum(i != uncounted for i in np.flatnonzero(times)) >= most
        allowed = [i for i in range(len(predictions)) if times[i] > 0 or i == uncounted or not is_full]
        losses = [
            float(np.average(loss((total + predictions[i]) / n), weights=row_weight))
            * cost_factor(sorted({i, *np.flatnonzero(times).tolist()}))
            for i in allowed
        ]
        lowest = int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
        best = allowed[lowest]
        times[best] += 1
        total += predictions[best]
        if n == 1 or losses[lowest] < (1 - _NEGLIGIBLE) * least:
            least, weights = losses[lowest], times / n
    return weights
