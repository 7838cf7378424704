"""Small networks with periodic features of the numbers, several at once, in the mean; ours, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import threadpoolctl

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.adam import Adam
from resmem_cli.model.arrays import FLOAT, SINGLE, Arrays, Floats, Integers, Singles, stored
from resmem_cli.model.bases.protocol import OfArrays, Problem, n_models, softmax, spread_classes, stored_classes
from resmem_cli.model.muon import Muon
from resmem_cli.model.network import MOST_PERIODIC, Network, in_blocks, is_layer
from resmem_cli.model.scaling import Scaler, mean_and_std
from resmem_cli.model.splitting import Split

_HIDDEN, _HIDDEN_OF_MANY, _MANY_ROWS = (64, 64), (128, 128), 10_000
_FREQUENCY = 0.1  # standard deviation at the start, per unit of a normal score: faster ones fit the noise of few rows
_BATCH, _LEAST_BATCH, _BATCHES = 128, 16, 16  # rows of a step: fewer where there are not so many batches
_RATE_OF_SCALES = 10  # times that of the rest
_RATE_OF_MATRICES = 5  # times that of the rest, where Muon moves them
_MEAN_EVERY, _KEPT_OF_MEAN = 5, 0.975  # the weights that predict are a mean over the last steps
_SECOND_MOMENTUM = 0.98
_CHECKED_EVERY, _PATIENCE, _MOST_CHECKING = 50, 10, 2_000  # steps, checks, rows
_STEPS_UNCHECKED = 500  # where no row can be held out to stop by
_MOST_MEMBERS = 32
_PREFIX = "network_"


@dataclass(frozen=True)
class Networks(OfArrays):
    """Networks on normal scores of the features, each stopped by another tenth of the rows, in the mean.

    Attributes:
        scaler: the features they read.
        weights: of all of them, one more axis in front: those of `Network`, "out" [m, h, outputs], "bias" [m, outputs].
        target_scale: [mean, standard deviation] of the regression target in training.
        classes: [m] codes of the classes that training had; empty for regression.
        n_classes: 0 for regression.
    """

    takes_long: ClassVar[bool] = True

    scaler: Scaler
    weights: Arrays
    target_scale: Floats
    classes: Floats
    n_classes: int

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        return cost.network_seconds(size)

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {"members": 3, "max_steps": 2_500, "learning_rate": 2e-3, "weight_decay": 0.5}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        given = _Params(**{**cls.parameters(problem), **params}).checked()
        scaler = Scaler.fit(X, problem.n_categories, "normal", weight)
        mean, std = mean_and_std(y, weight) if problem.is_regression else (0.0, 1.0)
        scale = np.array([mean, std or 1.0])
        counts = np.ones(len(y), dtype=np.bool_) if weight is None else weight > 0
        classes = np.unique(y[counts]) if problem.n_classes else np.empty(0)
        target = np.searchsorted(classes, y).clip(max=len(classes) - 1) if problem.n_classes else y - scale[0]
        rows = _Rows(scaler.transform(X), target / scale[1], weight, len(classes))
        n_members = given.members
        every = [(np.flatnonzero(counts), np.empty(0, dtype=np.int64))] * n_members
        splits = [(kept[counts[kept]], held[counts[held]]) for kept, held in problem.stopping_splits(X, y, n_members)]
        if not all(len(kept) and len(held) for kept, held in splits):
            splits = every
        rngs = [np.random.default_rng([problem.seed, i]) for i in range(n_members)]
        # Products of small matrices gain little from a second thread, and lose much where others want the cores.
        with threadpoolctl.threadpool_limits(1):
            start = _start(scaler, rows, rngs)
            weights, steps = _trained(start, rows, splits, given, seed=problem.seed)
            if problem.is_refitted:
                weights, _ = _trained(start, rows, every, given, seed=problem.seed, steps=steps)
        return cls(scaler, weights, scale, classes, problem.n_classes)

    def predict(self, X: Floats) -> Floats:
        return self.predict_and_represent(X)[0]

    def represent(self, X: Floats) -> Singles:
        """Return the last hidden layer of the first network, the paper's choice."""
        features = self.scaler.transform(X)
        return in_blocks(features, lambda block: (self._members[0].forward(block),))[0]

    def predict_and_represent(self, X: Floats) -> tuple[Floats, Singles]:
        """Return both for [n, d] rows, at the cost of the first."""
        members = self._members

        def known(block: Singles) -> tuple[Singles, ...]:
            last = [member.forward(block) for member in members]
            return (last[0], *(member.output(each) for member, each in zip(members, last, strict=True)))

        represented, *outputs = in_blocks(self.scaler.transform(X), known)
        total = np.zeros((len(X), outputs[0].shape[1]))
        for each in outputs:  # one after the other, in one order
            total += softmax(each.astype(np.float64)) if self.n_classes else each
        mean: Floats = total / len(members)
        if self.n_classes:
            return spread_classes(mean, self.classes, self.n_classes), represented
        return mean * self.target_scale[1] + self.target_scale[0], represented

    @property
    def _members(self) -> list[_Member]:
        n_members = len(self.weights["bias"])
        return [_Member({name: value[i] for name, value in self.weights.items()}) for i in range(n_members)]

    def to_arrays(self) -> Arrays:
        return {
            **self.scaler.to_arrays(),
            **{_PREFIX + name: value for name, value in self.weights.items()},
            "target_scale": self.target_scale,
            "classes": self.classes,
            "n_classes": np.array([self.n_classes]),
        }

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        scaler, (n_classes, classes) = Scaler.from_arrays(arrays), stored_classes(arrays)
        n_outputs = len(classes) or 1
        weights = {name.removeprefix(_PREFIX): value for name, value in arrays.items() if name.startswith(_PREFIX)}
        n_members = len(stored(weights, "bias", SINGLE, None, n_outputs))
        if not 1 <= n_members <= _MOST_MEMBERS or any(len(each) != n_members for each in weights.values()):
            raise ValueError(f"it holds {n_members} networks, or a part of one is missing")
        restored = cls(scaler, weights, stored(arrays, "target_scale", FLOAT, 2), classes, n_classes)
        for member in restored._members:
            width = member.network.refuse_damaged()
            stored(member.weights, "out", SINGLE, width, n_outputs)
            if member.network.n_layers == 0 or member.network.n_inputs != scaler.n_outputs:
                raise ValueError("its networks do not read its features")
        return restored

    def belongs(self, problem: Problem, width: int) -> bool:
        return (self.scaler.n_categories, self.n_classes) == (problem.n_categories, problem.n_classes)


class _Params(NamedTuple):
    """What the user may set."""

    members: int
    max_steps: int
    learning_rate: float
    weight_decay: float

    def checked(self) -> _Params:
        """Return them; UsageError if one has a value that it cannot have."""
        n_models("members", self.members, _MOST_MEMBERS)
        if type(self.max_steps) is not int or self.max_steps < 1:
            raise UsageError(f"max_steps is {self.max_steps!r}, not a whole number above 0", "correct the --param")
        for name, value, least in (
            ("learning_rate", self.learning_rate, "above"),
            ("weight_decay", self.weight_decay, "of at least"),
        ):
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
            if not is_number or value < 0 or (value == 0 and least == "above"):
                raise UsageError(f"{name} is {value!r}, not a number {least} 0", "correct the --param")
        return self


class _Rows(NamedTuple):
    """What networks learn from: [n, p] features, [n] targets (standardised numbers, or codes), [n] weights or None."""

    features: Singles
    target: Floats
    weight: Floats | None
    n_classes: int

    @property
    def n_outputs(self) -> int:
        return self.n_classes or 1

    def slope(self, output: Singles, rows: Integers) -> Singles:
        """Return the gradient of the mean loss of [..., b] rows in their [..., b, outputs] outputs."""
        target = self.target[rows][..., None]
        if self.n_classes:
            classes = target.astype(np.int64)
            slope = np.exp(output - output.max(axis=-1, keepdims=True))
            slope /= slope.sum(axis=-1, keepdims=True)
            np.put_along_axis(slope, classes, np.take_along_axis(slope, classes, -1) - 1, -1)
        else:
            slope = output - target
        return np.asarray(slope / rows.shape[-1], dtype=np.float32)

    def loss(self, output: Singles, rows: Integers) -> float:
        """Return the mean loss of [n] rows."""
        target = self.target[rows]
        if self.n_classes:
            highest = output.max(axis=1)
            losses = highest + np.log(np.exp(output - highest[:, None]).sum(axis=1))
            losses = losses - output[np.arange(len(rows)), target.astype(np.int64)]
        else:
            losses = np.square(output[:, 0] - target)
        return float(np.average(losses, weights=None if self.weight is None else self.weight[rows]))


class _Member(NamedTuple):
    """One of the networks."""

    weights: Arrays

    @property
    def network(self) -> Network:
        return Network(self.weights)

    def forward(self, features: Singles) -> Singles:
        """Return the [n, h] last hidden layer of [n, p] features."""
        return self.network.forward(features).last

    def output(self, last: Singles) -> Singles:
        return last @ self.weights["out"] + self.weights["bias"]


def _start(scaler: Scaler, rows: _Rows, rngs: Sequence[np.random.Generator]) -> Arrays:
    """Return the weights of networks that predict the mean, or how frequent the classes are."""
    frequencies = np.where(scaler.is_two_valued, 0.0, _FREQUENCY).astype(np.float32)
    if np.count_nonzero(frequencies) > MOST_PERIODIC:
        frequencies = np.zeros_like(frequencies)
    bias = np.zeros(rows.n_outputs, np.float32)
    if rows.n_classes:
        counts = np.bincount(rows.target.astype(np.int64), rows.weight, rows.n_classes)
        bias = np.log(np.maximum(counts / counts.sum(), 1e-6)).astype(np.float32)
    members, hidden = [], _HIDDEN if len(rows.target) < _MANY_ROWS else _HIDDEN_OF_MANY
    for rng in rngs:
        weights = Network.start(np.ones(scaler.n_outputs, np.float32), frequencies, hidden, rng).weights
        out = rng.normal(0, 0.3 / np.sqrt(hidden[-1]), (hidden[-1], rows.n_outputs)).astype(np.float32)
        members.append({**weights, "out": out, "bias": bias})
    return {name: np.stack([member[name] for member in members]) for name in members[0]}


def _trained(
    start: Arrays,
    rows: _Rows,
    splits: Sequence[Split],
    params: _Params,
    *,
    seed: int,
    steps: Integers | None = None,
) -> tuple[Arrays, Integers]:
    """Train networks side by side, each on its part of the rows; return the weights of each, and after which step.

    Where rows are held out they decide on the step; otherwise `steps` or a usual number does.
    """
    is_checked = len(splits[0][1]) > 0
    last = params.max_steps if is_checked else min(params.max_steps, _STEPS_UNCHECKED)
    steps = np.full(len(splits), last) if steps is None else steps
    last = last if is_checked else int(steps.max(initial=1))
    rng = np.random.default_rng(seed)
    draw = [_drawing(kept, rows.weight, rng) for kept, _ in splits]
    held_out = [held[np.arange(0, len(held), -(-len(held) // _MOST_CHECKING) or 1)] for _, held in splits]
    n_batch = min(_BATCH, max(_LEAST_BATCH, len(splits[0][0]) // _BATCHES))
    weights, mean = dict(start), _copied(start)
    best = _Best(_copied(start), np.full(len(splits), np.inf), steps.copy())
    optimizer = _optimizer(params, are_classes=rows.n_classes > 0)
    for step in range(1, last + 1):
        batch = np.stack([each(n_batch) for each in draw])
        optimizer.step(weights, _gradient(weights, rows, batch))
        if step % _MEAN_EVERY == 0:
            _add_to_mean(mean, weights, step)
        if not is_checked:
            for member in np.flatnonzero(steps == step).tolist():
                best.keep(mean, member)
        elif step % _CHECKED_EVERY == 0 or step == last:
            best.check(mean, rows, held_out, step)
            if (step - best.steps >= _PATIENCE * _CHECKED_EVERY).all():
                break
    return best.weights, best.steps


@dataclass(frozen=True)
class _Best:
    """The weights of every network that predicted its held-out rows best; they are changed in place.

    Attributes:
        weights: of all of them.
        losses: [m] on the held-out rows.
        steps: [m] after which of the steps.
    """

    weights: Arrays
    losses: Floats
    steps: Integers

    def keep(self, weights: Arrays, member: int) -> None:
        for name, value in weights.items():
            self.weights[name][member] = value[member]

    def check(self, weights: Arrays, rows: _Rows, held_out: Sequence[Integers], step: int) -> None:
        """Keep the weights of those networks that predict their held-out rows better than before."""
        for i, held in enumerate(held_out):
            member = _Member({name: value[i] for name, value in weights.items()})
            loss = rows.loss(member.output(member.forward(rows.features[held])), held)
            if loss < self.losses[i]:
                self.losses[i], self.steps[i] = loss, step
                self.keep(weights, i)


def _optimizer(params: _Params, *, are_classes: bool) -> Adam | Muon:
    adam = Adam(
        lambda name: params.learning_rate * (_RATE_OF_SCALES if name in ("scale", "frequency") else 1),
        params.weight_decay,
        _SECOND_MOMENTUM,
    )
    # Of numbers Muon is no better in the mean of the data sets, and worse where few rows have most of the error.
    rate = params.learning_rate * _RATE_OF_MATRICES
    return Muon(rate, params.weight_decay, is_layer, adam) if are_classes else adam


def _add_to_mean(mean: Arrays, weights: Arrays, step: int) -> None:
    """Move the running mean, in place, towards the weights after a step."""
    kept = min(_KEPT_OF_MEAN, 1 - _MEAN_EVERY / (step + 1))
    for name, value in weights.items():
        mean[name] += np.float32(1 - kept) * (value - mean[name])


def _copied(weights: Arrays) -> Arrays:
    return {name: value.copy() for name, value in weights.items()}


def _drawing(kept: Integers, weight: Floats | None, rng: np.random.Generator) -> Any:
    """Return what draws so many of the rows, by their weights if there are any."""
    if weight is None:
        return lambda n: kept[rng.integers(len(kept), size=n)]
    edges = np.cumsum(weight[kept]) / weight[kept].sum()
    return lambda n: kept[np.minimum(np.searchsorted(edges, rng.random(n), side="right"), len(kept) - 1)]


def _gradient(weights: Arrays, rows: _Rows, batch: Integers) -> Arrays:
    """Return the gradient of the loss of [m, b] rows in all weights."""
    features = rows.features[batch]
    network = Network(weights)
    done = network.forward(features)
    output = done.last @ weights["out"] + weights["bias"][:, None, :]
    slope = rows.slope(output, batch)
    below = slope @ np.swapaxes(weights["out"], -1, -2)
    of_output = {"out": np.swapaxes(done.last, -1, -2) @ slope, "bias": slope.sum(axis=-2)}
    return of_output | network.backward(features, done, below)
