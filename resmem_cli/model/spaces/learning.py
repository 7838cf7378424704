"""Training the encoder on stochastic neighbourhoods, from a start that the base's sensitivity gives.

Encoders of classes are trained by Muon, whose steps teach a network more of what tells classes apart; of numbers, where
it brought nothing in the mean of the data sets, by Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.adam import Adam
from resmem_cli.model.arrays import Singles
from resmem_cli.model.muon import Muon
from resmem_cli.model.network import is_layer
from resmem_cli.model.spaces.encoder import Encoder, times_as_long
from resmem_cli.model.spaces.neighbourhood import EncoderFold, Neighbourhood, distances

_QUERIES = 512  # of one step
# Where the memory of a step is much sparser than the one that predicts, an encoder does not learn what tells the
# nearest apart: at density 1 a quarter of a fold's rows, as long as a step does not take too long.
_LEAST_MEMORIES, _MOST_MEMORIES, _ONE_MEMORY_IN = 2_048, 4_096, 4
# An encoder that goes on from the one of a fold has most of its training done.
_RESUMED_STEPS_ONE_IN = 3
_RATE_OF_SCALES = 0.015  # s, τ and γ
_RATE_OF_NET = 0.004
_RATE_OF_MATRICES = 0.016  # Muon's
_SCALES = ("scale", "log_tau", "log_gamma")
# Of few rows a network would learn by heart what is only theirs.
_DECAY, _MOST_DECAY, _ROWS_OF_DECAY = 1.0, 4.0, 20_000
# Where a training of classes goes on with more rows: Muon's first rates would undo what it has learned. Encoders of
# numbers go on from the end, at the first rates, which took them further.
_GOES_ON_AT = 0.6
# The starting τ weights the memory as if about this many of them counted.
_STARTING_NEIGHBORS = 32
# Periodic features tell values apart where a number has few, and elsewhere follow what changes slowly with it.
_FREQUENCY, _FREQUENCY_OF_FEW = 0.3, 1.0


def starting_frequencies(is_few_valued: NDArray[np.bool_], is_two_valued: NDArray[np.bool_]) -> Singles:
    """Return [numbers] the standard deviation of each number's first frequencies; 0 of those of two values.

    Two values are told apart as they are, and periodic features would be most of the work where such numbers are many.
    """
    frequencies = np.where(is_few_valued, _FREQUENCY_OF_FEW, _FREQUENCY)
    return np.where(is_two_valued, 0.0, frequencies).astype(np.float32)


def started(fold: EncoderFold, encoder: Encoder, density: int, rng: np.random.Generator) -> Neighbourhood:
    """Return the neighbourhood to begin with: τ such that a few of the memories drawn count, and γ = 1."""
    drawn = _drawn(fold, density, rng)
    apart = np.sort(distances(encoder.forward(drawn.queries).codes, encoder.forward(drawn.memory).codes), axis=1)
    last = min(_STARTING_NEIGHBORS, apart.shape[1]) - 1
    tau = max(float(np.median(apart[:, last] - apart[:, 0])) / 2, 1e-3)
    return Neighbourhood(encoder, np.asarray(np.log(tau), np.float32), np.asarray(0, np.float32))


class Schedule(NamedTuple):
    """How long an encoder is trained, and how much of the memory a step sees.

    Attributes:
        n_steps: how many steps.
        density: how many times as many of a fold's rows as usual are the memory of a step, at most all.
    """

    n_steps: int
    density: int = 1

    @property
    def resumed(self) -> Schedule:
        """What is enough for an encoder that a fold has trained."""
        return self._replace(n_steps=-(-self.n_steps // _RESUMED_STEPS_ONE_IN))


class Checkpoint(NamedTuple):
    """Where a training starts, or goes on.

    Attributes:
        neighbourhood: what has been learned.
        progress: the share of the schedule, by which rates fall, that is done.
    """

    neighbourhood: Neighbourhood
    progress: float = 0.0


class Trained(NamedTuple):
    """What a training gives: an encoder, and the checkpoint to go on from if there are more rows."""

    neighbourhood: Neighbourhood
    checkpoint: Checkpoint


def train(
    folds: Sequence[EncoderFold],
    start: Checkpoint,
    schedule: Schedule,
    rng: np.random.Generator,
    report: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train an encoder, its τ and γ on several folds, for what is left of the schedule."""
    neighbourhood, done = start
    n_steps, density = schedule
    weights = neighbourhood.to_arrays()
    checkpoint = start
    decay = weight_decay(len(folds[0].memory) + len(folds[0].queries), folds[0].targets.shape[1])
    adam = Adam(lambda name: _RATE_OF_SCALES if name in _SCALES else _RATE_OF_NET, decay)
    are_classes = folds[0].targets.shape[1] > 1
    optimizer = Muon(_RATE_OF_MATRICES, decay, _is_of_layers, adam) if are_classes else adam
    report(f"training the encoder: step 0 of {n_steps}")
    for step in range(1, n_steps + 1):
        fold = _drawn(folds[int(rng.integers(len(folds)))], density, rng)
        _, gradient = neighbourhood.with_arrays(weights).loss_and_gradient(fold)
        progress = done + (1 - done) * step / n_steps
        optimizer.step(weights, gradient, (1 + np.cos(np.pi * progress)) / 2)
        if are_classes and progress <= _GOES_ON_AT:
            checkpoint = Checkpoint(neighbourhood.with_arrays(dict(weights)), progress)
        if step % 50 == 0:
            report(f"training the encoder: step {step} of {n_steps}")
    trained = neighbourhood.with_arrays(weights)
    return Trained(trained, checkpoint if are_classes else Checkpoint(trained))


def _is_of_layers(name: str) -> bool:
    return name == "out" or is_layer(name)


def weight_decay(n_rows: int, n_outputs: int) -> float:
    """Return the decay of an encoder's matrices, in every step times their rate, where so many rows train it."""
    # Many classes take more steps, in which as much decays.
    of_few_rows = math.sqrt(_ROWS_OF_DECAY / n_rows) / times_as_long(n_outputs)
    return _DECAY * min(max(1.0, of_few_rows), _MOST_DECAY)


def n_memories(n_rows: int, density: int) -> int:
    """Return how many of a fold's rows are the memory of one step."""
    return min(density * min(max(_LEAST_MEMORIES, n_rows // _ONE_MEMORY_IN), _MOST_MEMORIES), n_rows)


def _drawn(fold: EncoderFold, density: int, rng: np.random.Generator) -> EncoderFold:
    queries = rng.choice(len(fold.queries), _QUERIES, p=fold.weight)
    memory = rng.permutation(len(fold.memory))[: n_memories(len(fold.memory), density)]
    return replace(
        fold,
        memory=fold.memory[memory],
        residuals=fold.residuals[memory],
        queries=fold.queries[queries],
        predictions=fold.predictions[queries],
        targets=fold.targets[queries],
    )
