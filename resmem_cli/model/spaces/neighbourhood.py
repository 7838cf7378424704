"""The loss that an encoder is trained by, and its gradient: how well a softmax over the memory corrects the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import SINGLE, Arrays, Floats, Singles, stored
from resmem_cli.model.spaces.encoder import Encoder, Kind

# Queries whose distances to every memory are held at once: few enough to stay in the processor's cache.
_BLOCK = 128
_FLOOR = np.float32(1e-3)  # of a probability in the training loss, which a correction may bring to 0
_NEAR = np.float32(1e-12)  # the least squared distance: the root has no slope at 0
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
        n_queries = len(fold.queries)
        inputs = np.concatenate([fold.queries, fold.memory])
        done = self.encoder.forward(inputs)
        tau, gamma = np.float32(np.exp(self.log_tau)), np.float32(np.exp(self.log_gamma))
        codes = done.codes / tau  # distances are in units of τ
        residuals, trend = fold.residuals, None
        if done.trend is not None:
            residuals, trend = residuals - done.trend[n_queries:], done.trend[:n_queries]
        memory = _Memory.of(codes[n_queries:], residuals)
        in_codes = np.zeros_like(codes)
        in_trend: Singles = np.zeros((len(inputs), residuals.shape[1]), codes.dtype)
        loss = in_log_tau = in_log_gamma = 0.0
        for start in range(0, n_queries, _BLOCK):
            block = slice(start, min(start + _BLOCK, n_queries))
            near = memory.near(codes[block])
            correction = near.mean if trend is None else near.mean + trend[block]
            of_block, in_summed = _loss(fold.predictions[block] + gamma * correction, fold.targets[block], n_queries)
            in_trend[block] = gamma * in_summed
            back = memory.backward(codes[block], near, in_trend[block])
            in_codes[block] = back.in_codes_q
            in_codes[n_queries:] += back.in_codes_m
            if trend is not None:
                in_trend[n_queries:] -= near.in_residuals(in_trend[block])
            loss += of_block
            in_log_tau += back.in_log_tau
            in_log_gamma += float((in_trend[block] * correction).sum())
        gradient = self.encoder.backward(inputs, done, np.asarray(in_codes / tau), in_trend)
        gradient["log_tau"] = np.asarray(in_log_tau, self.log_tau.dtype)
        gradient["log_gamma"] = np.asarray(in_log_gamma, self.log_gamma.dtype)
        return loss, gradient


class _Near(NamedTuple):
    """How b queries see m memories.

    Attributes:
        apart: [b, m] distances.
        weights: [b, m] of the memories, not yet divided by their sums.
        total: [b, 1] these sums.
        mean: [b, outputs] the weighted mean of the residuals.
    """

    apart: Singles
    weights: Singles
    total: Singles
    mean: Singles

    def in_residuals(self, in_mean: Singles) -> Singles:
        """Return the [m, outputs] gradient in the memories' residuals, given that in the [b, outputs] means."""
        return self.weights.T @ (in_mean / self.total)


class _Back(NamedTuple):
    """What a block of queries adds to the gradient."""

    in_log_tau: float
    in_codes_q: Singles
    in_codes_m: Singles


class _Memory(NamedTuple):
    """The memories of a step.

    [b, m] arrays are most of the work that is no matrix product, so whatever can be is left to the products: a column
    of ones beside the codes or the residuals adds what would be a pass over the array, or sums its rows.

    Attributes:
        codes: [m, o], in units of τ.
        codes_and_one: [m, o + 1].
        for_squares: [o + 2, m] what gives squared distances of [-2 code, 1, square] of queries.
        residuals: [m, outputs].
        residuals_and_one: [outputs + 1, m].
    """

    codes: Singles
    codes_and_one: Singles
    for_squares: Singles
    residuals: Singles
    residuals_and_one: Singles

    @classmethod
    def of(cls, codes: Singles, residuals: Singles) -> Self:
        one = _ones(codes)
        codes_and_one = np.hstack([codes, one])
        residuals_and_one = np.ascontiguousarray(np.hstack([residuals, one]).T)
        return cls(codes, codes_and_one, _for_squares(codes), residuals, residuals_and_one)

    def near(self, codes: Singles) -> _Near:
        """Return how queries with [b, o] codes see the memories."""
        apart = _distances(codes, self.for_squares)
        weights = apart.min(axis=1, keepdims=True) - apart
        np.maximum(weights, _FAR, out=weights)
        np.exp(weights, out=weights)
        total = weights.sum(axis=1, keepdims=True)
        return _Near(apart, weights, total, weights @ self.residuals / total)

    def backward(self, codes: Singles, near: _Near, in_mean: Singles) -> _Back:
        """Return the gradient, given that in the [b, outputs] means; the arrays of `near` are changed in place."""
        apart, weights = near.apart, near.weights
        in_sums = in_mean / near.total
        own = (in_sums * near.mean).sum(axis=1, keepdims=True)
        in_logits = np.hstack([in_sums, -own]) @ self.residuals_and_one
        in_logits *= weights
        in_log_tau = float(np.einsum("qm,qm->", in_logits, apart))
        np.maximum(apart, _NEAREST, out=apart)
        in_logits /= apart  # now minus twice the gradient in the squared distances
        by_query = in_logits @ self.codes_and_one
        by_memory = in_logits.T @ np.hstack([codes, _ones(codes)])
        in_codes_q = by_query[:, :-1] - by_query[:, -1:] * codes
        in_codes_m = by_memory[:, :-1] - by_memory[:, -1:] * self.codes
        return _Back(in_log_tau, in_codes_q, in_codes_m)


def distances(a: Singles, b: Singles) -> Singles:
    """Return [q, m] Euclidean distances of [q, o] to [m, o] codes."""
    return _distances(a, _for_squares(b))


def _distances(codes: Singles, for_squares: Singles) -> Singles:
    apart: Singles = np.hstack([-2 * codes, _ones(codes), _squares(codes)]) @ for_squares
    np.maximum(apart, _NEAR, out=apart)
    return np.sqrt(apart, out=apart)


def _for_squares(codes: Singles) -> Singles:
    """Return [o + 2, m] what [-2 code, 1, square] of a query is multiplied by, to its squared distances from codes."""
    return np.ascontiguousarray(np.hstack([codes, _squares(codes), _ones(codes)]).T)


def _squares(codes: Singles) -> Singles:
    """Return [n, 1] squared lengths."""
    return np.asarray(np.einsum("np,np->n", codes, codes)[:, None])


def _ones(codes: Singles) -> Singles:
    """Return [n, 1] ones."""
    return np.ones((len(codes), 1), codes.dtype)


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
