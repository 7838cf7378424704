"""The learned encoder: a space in which neighbours explain the residual.

    e(z) = [s * z, net(s * z)]

z is a row's features with the base's prediction beside them, s a scale per dimension, net nothing (`diagonal`), a
linear map (`linear`) or one hidden layer (`mlp`). It is trained on a stochastic neighbourhood: each step takes one
fold, some of its held-out rows as queries and some of its training rows as memory, weights the memory by
softmax(-distance / τ), and descends the loss of the corrected prediction in s, net, τ and γ together. A query's label
trained neither its base prediction nor its memory, which keeps the training honest. (The idea is
neighbourhood components analysis, Goldberger et al. 2004, with residuals for labels.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Arrays, Floats, Singles

Kind = Literal["diagonal", "linear", "mlp"]
KINDS: tuple[Kind, ...] = ("diagonal", "linear", "mlp")

HIDDEN = 128
OUTPUTS = 24
_FLOOR = np.float32(1e-3)  # of a probability in the training loss, which a correction may bring to 0
_NEAR = np.float32(1e-12)  # added to squared distances: the root has no slope at 0
# Of rows nearer than this the direction is rounding error, which the root's steep slope would make the gradient's.
_NEAREST = np.float32(1e-3)


@dataclass(frozen=True)
class Encoder:
    """A trained (or starting) encoder.

    Attributes:
        weights: "scale" [p]; for linear "out" [p, o]; for mlp "in" [p, h], "bias" [h], "out" [h, o].
    """

    weights: Arrays

    @classmethod
    def start(cls, kind: Kind, scale: Singles, rng: np.random.Generator) -> Self:
        """Return an encoder whose net adds little to the scaled inputs yet."""
        p = len(scale)
        weights: Arrays = {"scale": scale.astype(np.float32)}
        if kind == "linear":
            weights["out"] = rng.normal(0, 0.3 / np.sqrt(p), (p, OUTPUTS)).astype(np.float32)
        elif kind == "mlp":
            spread = 1 / max(float(np.linalg.norm(scale)), 1e-6)
            weights["in"] = rng.normal(0, spread, (p, HIDDEN)).astype(np.float32)
            weights["bias"] = rng.normal(0, 0.5, HIDDEN).astype(np.float32)
            weights["out"] = rng.normal(0, 0.3 / np.sqrt(HIDDEN), (HIDDEN, OUTPUTS)).astype(np.float32)
        return cls(weights)

    def encode(self, z: Singles) -> Singles:
        """Return [n, p + o] codes of [n, p] inputs."""
        return self.forward(z)[0]

    def in_units_of(self, length: float) -> Self:
        """Return the encoder whose distances are this one's divided by `length`."""
        weights = dict(self.weights)
        weights["scale"] = weights["scale"] / np.float32(length)
        if "in" in weights:
            weights["in"] = weights["in"] * np.float32(length)
            weights["out"] = weights["out"] / np.float32(length)
        return replace(self, weights=weights)

    def forward(self, z: Singles) -> tuple[Singles, Singles, Singles | None]:
        """Return the codes, and what `backward` needs: the scaled inputs and the hidden layer."""
        weights = self.weights
        scaled = z * weights["scale"]
        if "out" not in weights:
            return scaled, scaled, None
        hidden = np.maximum(scaled @ weights["in"] + weights["bias"], 0) if "in" in weights else None
        net = (scaled if hidden is None else hidden) @ weights["out"]
        return np.hstack([scaled, net]), scaled, hidden

    def backward(self, z: Singles, scaled: Singles, hidden: Singles | None, slope: Singles) -> Arrays:
        """Return the gradient in the weights, given [n, p + o] the gradient in the codes."""
        weights = self.weights
        p = z.shape[1]
        gradient: Arrays = {}
        in_scaled = slope[:, :p]
        if "out" in weights:
            in_net = slope[:, p:]
            gradient["out"] = (scaled if hidden is None else hidden).T @ in_net
            below = in_net @ weights["out"].T
            if hidden is not None:
                below = below * (hidden > 0)
                gradient["in"], gradient["bias"] = scaled.T @ below, below.sum(axis=0)
                below = below @ weights["in"].T
            in_scaled = in_scaled + below
        gradient["scale"] = (in_scaled * z).sum(axis=0)
        return gradient


@dataclass(frozen=True)
class Lesson:
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

    def loss_and_gradient(self, lesson: Lesson) -> tuple[float, Arrays]:
        """Return the loss and its gradient in every weight, in "log_tau" and in "log_gamma"."""
        codes_q, scaled_q, hidden_q = self.encoder.forward(lesson.queries)
        codes_m, scaled_m, hidden_m = self.encoder.forward(lesson.memory)
        apart = distances(codes_q, codes_m)
        tau, gamma = np.float32(np.exp(self.log_tau)), np.float32(np.exp(self.log_gamma))
        logits = apart / -tau
        logits -= logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        weights /= weights.sum(axis=1, keepdims=True)
        correction = weights @ lesson.residuals
        loss, in_summed = _loss(lesson.predictions + gamma * correction, lesson.targets)

        in_correction = gamma * in_summed
        in_logits = in_correction @ lesson.residuals.T
        in_logits -= np.einsum("qm,qm->q", weights, in_logits)[:, None]
        in_logits *= weights
        in_log_tau = -np.einsum("qm,qm->", in_logits, apart) / -tau
        in_logits /= -2 * tau * np.maximum(apart, _NEAREST)  # now the gradient in the squared distances
        slope_q = 2 * (in_logits.sum(axis=1)[:, None] * codes_q - in_logits @ codes_m)
        slope_m = 2 * (in_logits.sum(axis=0)[:, None] * codes_m - in_logits.T @ codes_q)
        gradient = self.encoder.backward(lesson.queries, scaled_q, hidden_q, slope_q)
        for name, part in self.encoder.backward(lesson.memory, scaled_m, hidden_m, slope_m).items():
            gradient[name] = gradient[name] + part
        gradient["log_tau"] = np.asarray(in_log_tau)
        gradient["log_gamma"] = np.asarray((in_correction * correction).sum())
        return loss, gradient


def distances(a: Singles, b: Singles) -> Singles:
    """Return [q, m] Euclidean distances of [q, c] to [m, c] codes."""
    squares = np.einsum("qp,qp->q", a, a)[:, None] + np.einsum("mp,mp->m", b, b) - 2 * (a @ b.T)
    apart: Singles = np.sqrt(np.maximum(squares, 0) + _NEAR)
    return apart


def _loss(summed: Singles, targets: Singles) -> tuple[float, Singles]:
    """Return the mean loss of [q, outputs] corrected predictions and its gradient in them."""
    n = len(targets)
    if targets.shape[1] == 1:
        # Huber's loss: beyond one standard deviation of the target it is linear, so that no outlier rules a step.
        error = summed - targets
        bounded = np.clip(error, -1, 1)
        return float((bounded * (2 * error - bounded)).mean()), 2 * bounded / n
    # p_y / Σ p after clipping to [floor, 1]; no gradient passes where a probability is clipped.
    clipped = np.clip(summed, _FLOOR, 1)
    total = clipped.sum(axis=1, keepdims=True)
    own = (clipped * targets).sum(axis=1, keepdims=True)
    slope = (1 / total - targets / own) * ((summed > _FLOOR) & (summed < 1)) / n
    return float(np.log(total / own).mean()), slope
