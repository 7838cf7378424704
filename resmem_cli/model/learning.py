"""Training the encoder: Adam on stochastic neighbourhoods, from a start that the base's sensitivity gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from resmem_cli.model.arrays import Arrays, Floats, Integers, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.encoder import Encoder, Lesson, Neighbourhood, distances

_QUERIES = 512  # of one step
_MEMORIES = 4_096
_RATE_OF_SCALES = 0.01  # s, τ and γ
_RATE_OF_NET = 0.003
_MOMENTUM, _SECOND_MOMENTUM, _TINY = 0.9, 0.999, 1e-8
# The starting τ weights the 4,096 as if about this many of them counted.
_STARTING_NEIGHBORS = 32
_SENSITIVITY_ROWS = 2_000
_LEAST_SENSITIVITY = 0.1  # of the largest: a column that the base ignores may be what it misses


def sensitivity(base: Base, X: Floats, rng: np.random.Generator) -> Floats:
    """Return [d] how far the base's prediction moves (root mean square) when a column of [n, d] rows is permuted.

    Relative to the column that moves it most. Labels play no part.
    """
    sample = X[rng.permutation(len(X))[:_SENSITIVITY_ROWS]]
    predictions = base.predict(sample)
    moved = np.empty(X.shape[1])
    for j in range(X.shape[1]):
        shuffled = sample.copy()
        shuffled[:, j] = rng.permutation(shuffled[:, j])
        moved[j] = np.sqrt(np.square(base.predict(shuffled) - predictions).sum(axis=1).mean())
    largest = moved.max(initial=0.0)
    return moved / largest if largest > 0 else np.ones_like(moved)


def starting_scale(column_sensitivity: Floats, sources: Integers, n_predictions: int) -> Singles:
    """Return the encoder's first scale: [p] features by the sensitivity of their columns, then the predictions.

    Args:
        column_sensitivity: [d] of the encoded columns.
        sources: [p] the encoded column that each feature comes from.
        n_predictions: how many predictions follow the features.
    """
    of_features = column_sensitivity[sources] + _LEAST_SENSITIVITY
    of_predictions = np.full(n_predictions, 0.5 if n_predictions == 1 else 0.3)
    return np.concatenate([of_features, of_predictions]).astype(np.float32)


def train(
    lessons: Sequence[Lesson],
    start: Encoder,
    n_steps: int,
    rng: np.random.Generator,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Encoder, float]:
    """Train an encoder from its start on the lessons of several folds.

    Returns:
        The encoder, in units of its τ (weights are exp(-distance)), and the shrinkage it was trained with.
    """
    state = _started(lessons[0], start, rng)
    weights: Arrays = {**state.encoder.weights, "log_tau": state.log_tau, "log_gamma": state.log_gamma}
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    for step in range(1, n_steps + 1):
        lesson = _drawn(lessons[int(rng.integers(len(lessons)))], rng)
        _, gradient = _neighbourhood(weights).loss_and_gradient(lesson)
        decay = (1 + np.cos(np.pi * step / n_steps)) / 2
        for name, slope in gradient.items():
            first[name] = _MOMENTUM * first[name] + (1 - _MOMENTUM) * slope
            second[name] = _SECOND_MOMENTUM * second[name] + (1 - _SECOND_MOMENTUM) * np.square(slope)
            mean = first[name] / (1 - _MOMENTUM**step)
            spread = np.sqrt(second[name] / (1 - _SECOND_MOMENTUM**step))
            rate = decay * (_RATE_OF_NET if name in ("in", "bias", "out") else _RATE_OF_SCALES)
            weights[name] = (weights[name] - rate * mean / (spread + _TINY)).astype(np.float32)
        if step % 50 == 0:
            report(f"training the encoder: step {step} of {n_steps}")
    trained = _neighbourhood(weights)
    return trained.encoder.in_units_of(float(np.exp(trained.log_tau))), float(np.exp(trained.log_gamma))


def _neighbourhood(weights: Arrays) -> Neighbourhood:
    of_encoder = {name: value for name, value in weights.items() if not name.startswith("log_")}
    return Neighbourhood(Encoder(of_encoder), weights["log_tau"], weights["log_gamma"])


def _started(lesson: Lesson, encoder: Encoder, rng: np.random.Generator) -> Neighbourhood:
    drawn = _drawn(lesson, rng)
    apart = np.sort(distances(encoder.encode(drawn.queries), encoder.encode(drawn.memory)), axis=1)
    last = min(_STARTING_NEIGHBORS, apart.shape[1]) - 1
    tau = max(float(np.median(apart[:, last] - apart[:, 0])) / 2, 1e-3)
    return Neighbourhood(encoder, np.asarray(np.log(tau), np.float32), np.asarray(0, np.float32))


def _drawn(lesson: Lesson, rng: np.random.Generator) -> Lesson:
    queries = rng.choice(len(lesson.queries), _QUERIES, p=lesson.weight)
    memory = rng.permutation(len(lesson.memory))[:_MEMORIES]
    return replace(
        lesson,
        memory=lesson.memory[memory],
        residuals=lesson.residuals[memory],
        queries=lesson.queries[queries],
        predictions=lesson.predictions[queries],
        targets=lesson.targets[queries],
    )
