"""The loss that an encoder is trained by, and its gradient: how well a softmax over the memory corrects the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import SINGLE, Arrays, Floats, Singles, stored
from resmem_cli.model.spaces.encoder import Encoder, Kind, Pass

# Queries whose distances to every memory are held at once: few enough to stay in the processor's cache.
_BLOCK = 128
_FLOOR = np.float32(1e-3)  # of a probability in the training loss, which a correction may bring to 0
_NEAR = np.float32(1e-12)  # added to squared distances: the root has no slope at 0
# Logits below the largest: what weighs e⁻³⁰ of it is lost in a sum of float32. Smaller weights would be subnormal
# numbers, or make such in a product, which processors multiply many times slower.
_FAR = np.float32(-30)
# Of rows nearer than this the direction is rounding error, which the root's steep slope would make the gradient's.
_NEAREST = np.float32(1e-3)


@dataclass(frozen=True)
class EncoderFold:
    """One fold to learn from.

    Attributes:
        memory, queries: [m, p] and [q, p] inputs of training and of held-out rows.
        residuals: [m, outputs] of the training rows under the fold's base.
        predictions, targets: [q, outputs] of the held-out rows: base predictions, and numbers or one-hot classes.
        weight: [q] how likely each held-out row is drawn, or None if all are equally.

    Numbers are in units of the target's standard deviation.
    """

    memory: Singles
    residuals: Singles
    queries: Singles
    predictions: Singles
    targets: Singles
    weight: Floats | None = None


class _Block(NamedTuple):
    """What a block of queries adds to the loss, and to its gradient in τ and γ, codes and trends."""

    loss: float
    in_log_tau: float
    in_log_gamma: float
    in_codes_q: Singles
    in_codes_m: Singles
    in_trend_q: Singles
    in_trend_m: Singles


@dataclass(frozen=True)
class Neighbourhood:
    """An encoder with the temperature of its neighbourhood and the shrinkage of the correction, both as logarithms."""

    encoder: Encoder
    log_tau: NDArray[np.float32]
    log_gamma: NDArray[np.float32]

    def to_arrays(self) -> Arrays:
        return {**self.encoder.weights, "log_tau": self.log_tau, "log_gamma": self.log_gamma}

    def with_arrays(self, arrays: Arrays) -> Self:
        """Return an encoder of the same kind with other weights, τ and γ."""
        return self._of(self.encoder.kind, arrays)

    @classmethod
    def restore(cls, kind: Kind, arrays: Arrays) -> Self:
        """Return what was stored; KeyError or ValueError if the arrays do not fit together."""
        restored = cls._of(kind, arrays)
        restored.encoder.refuse_damaged()
        for name in ("log_tau", "log_gamma"):
            stored(arrays, name, SINGLE)
        return restored

    @classmethod
    def _of(cls, kind: Kind, arrays: Arrays) -> Self:
        weights = {name: value for name, value in arrays.items() if name not in ("log_tau", "log_gamma")}
        return cls(Encoder(kind, weights), arrays["log_tau"], arrays["log_gamma"])

    def loss_and_gradient(self, fold: EncoderFold) -> tuple[float, Arrays]:
        """Return the loss and its gradient in every weight, in "log_tau" and in "log_gamma"."""
        queries, memory = self.encoder.forward(fold.queries), self.encoder.forward(fold.memory)
        blocks = [
            self._of_block(fold, slice(start, start + _BLOCK), queries, memory)
            for start in range(0, len(fold.queries), _BLOCK)
        ]
        gradient = self.encoder.backward(
            fold.queries,
            queries,
            np.concatenate([block.in_codes_q for block in blocks]),
            np.concatenate([block.in_trend_q for block in blocks]),
        )
        of_memory = self.encoder.backward(
            fold.memory,
            memory,
            np.sum([block.in_codes_m for block in blocks], axis=0),
            np.sum([block.in_trend_m for block in blocks], axis=0),
        )
        gradient = {name: value + of_memory[name] for name, value in gradient.items()}
        gradient["log_tau"] = np.asarray(sum(block.in_log_tau for block in blocks))
        gradient["log_gamma"] = np.asarray(sum(block.in_log_gamma for block in blocks))
        return sum(block.loss for block in blocks), gradient

    def _of_block(self, fold: EncoderFold, block: slice, queries: Pass, memory: Pass) -> _Block:
        """Return what some of the queries add to the loss and to its gradient; [b, m] arrays are changed in place."""
        tau, gamma = np.float32(np.exp(self.log_tau)), np.float32(np.exp(self.log_gamma))
        codes_q, codes_m = queries.codes[block], memory.codes
        residuals = fold.residuals if memory.trend is None else fold.residuals - memory.trend
        apart = distances(codes_q, codes_m)
        weights = np.asarray(apart / -tau)
        weights -= weights.max(axis=1, keepdims=True)
        np.maximum(weights, _FAR, out=weights)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=1, keepdims=True)
        correction = weights @ residuals
        if queries.trend is not None:
            correction += queries.trend[block]
        summed: Singles = fold.predictions[block] + gamma * correction
        loss, in_summed = _loss(summed, fold.targets[block], len(fold.queries))

        in_correction = gamma * in_summed
        in_trend_m = -(weights.T @ in_correction)
        in_logits = in_correction @ residuals.T
        in_logits -= np.einsum("qm,qm->q", weights, in_logits)[:, None]
        in_logits *= weights
        in_log_tau = np.einsum("qm,qm->", in_logits, apart) / tau
        np.maximum(apart, _NEAREST, out=apart)
        apart *= -2 * tau
        in_logits /= apart  # now the gradient in the squared distances
        in_codes_q = 2 * (in_logits.sum(axis=1)[:, None] * codes_q - in_logits @ codes_m)
        in_codes_m = 2 * (in_logits.sum(axis=0)[:, None] * codes_m - in_logits.T @ codes_q)
        in_log_gamma = (in_correction * correction).sum()
        return _Block(loss, in_log_tau, in_log_gamma, in_codes_q, in_codes_m, in_correction, in_trend_m)


def distances(a: Singles, b: Singles) -> Singles:
    """Return [q, m] Euclidean distances of [q, c] to [m, c] codes."""
    apart: Singles = a @ b.T
    apart *= -2
    apart += np.einsum("qp,qp->q", a, a)[:, None]
    apart += np.einsum("mp,mp->m", b, b)
    np.maximum(apart, 0, out=apart)
    apart += _NEAR
    return np.sqrt(apart, out=apart)


def _loss(summed: Singles, targets: Singles, n: int) -> tuple[float, Singles]:
    """Return the loss of some of n [q, outputs] corrected predictions, as part of a mean, and its gradient in them."""
    if targets.shape[1] == 1:
        # Huber's loss: beyond one standard deviation of the target it is linear, so that no outlier rules a step.
        error = summed - targets
        bounded = np.clip(error, -1, 1)
        return float((bounded * (2 * error - bounded)).sum()) / n, 2 * bounded / n
    # p_y / Σ p after clipping to [floor, 1]; no gradient passes where a probability is clipped.
    clipped = np.clip(summed, _FLOOR, 1)
    total = clipped.sum(axis=1, keepdims=True)
    own = (clipped * targets).sum(axis=1, keepdims=True)
    slope = (1 / total - targets / own) * ((summed > _FLOOR) & (summed < 1)) / n
    return float(np.log(total / own).sum()) / n, slope
