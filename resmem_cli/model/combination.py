"""The mean of several corrected models: which of them, and with what weights.

Corrected models of different bases or representations err differently, so the mean of two is often better than either.
They are picked one after the other, each time the one that improves the mean most, and one may be picked again: that
makes the weights (ensemble selection, Caruana et al. 2004). A further model has to be worth its cost: it joins only
if the improvement exceeds its standard error over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from resmem_cli.model.arrays import Floats

_PICKS = 8

Loss = Callable[[Floats], Floats]


def combined(predictions: Sequence[Floats], weights: Floats) -> Floats:
    """Return the weighted mean of several [n, outputs] predictions; the weights sum to 1."""
    total = [weight * each for weight, each in zip(weights, predictions, strict=True) if weight > 0]
    return np.asarray(np.sum(total, axis=0))


def combine(predictions: Sequence[Floats], loss: Loss, row_weight: Floats, most: int) -> Floats:
    """Return the [m] weights, of which at most `most` are above 0, whose mean has the least loss.

    Args:
        predictions: m times [n, outputs].
        loss: gives the [n] losses of [n, outputs] predictions.
        row_weight: [n].
        most: how many may share the mean.
    """
    losses = [loss(each) for each in predictions]
    first = int(np.argmin([np.average(each, weights=row_weight) for each in losses]))
    times = np.zeros(len(predictions))
    times[first] = 1
    total, present = predictions[first], losses[first]
    for n in range(1, _PICKS):
        is_full = np.count_nonzero(times) >= most
        open_to = [i for i in range(len(predictions)) if times[i] > 0 or not is_full]
        tried = {i: loss((total + predictions[i]) / (n + 1)) for i in open_to}
        best = min(tried, key=lambda i: float(np.average(tried[i], weights=row_weight)))
        improved = present - tried[best]
        gain = float(np.average(improved, weights=row_weight))
        error = float(np.linalg.norm(row_weight * (improved - gain)) / row_weight.sum())
        if gain <= (error if times[best] == 0 else 0.0):
            break
        times[best] += 1
        total, present = total + predictions[best], tried[best]
    weights: Floats = times / times.sum()
    return weights
