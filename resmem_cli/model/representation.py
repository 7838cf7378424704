"""The representations φ: what it means for two rows to be near each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model import encoder
from resmem_cli.model.arrays import FLOAT, SINGLE, WHOLE, Arrays, Floats, Singles, stored
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.features import FeatureSpace
from resmem_cli.model.neighbourhood import Neighbourhood

LEARNED = "learned:"
COLUMN = "column:"
_MOST_PERMUTED = 200  # features: of more, such as pixels, asking the base once for each takes longer than fitting it


class Position(NamedTuple):
    """Where rows are: [n, p] points, and for some learned representations [n, outputs] the trend there, or None."""

    points: Singles
    trend: Floats | None = None


class Representation(Protocol):
    """A map from encoded rows to the space that distances are taken in."""

    @property
    def name(self) -> str: ...

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        """Return the positions of [n, d] encoded rows, which `base` predicts as [n, outputs]."""
        ...

    def to_arrays(self) -> Arrays: ...

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        """Whether it reads encoded rows of a problem, and its points have so many columns."""
        ...


@dataclass(frozen=True)
class Features:
    """The columns themselves: numbers as normal scores, categories as indicators."""

    name: ClassVar[str] = "features"
    space: FeatureSpace

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        return Position(self.space.transform(X))

    def to_arrays(self) -> Arrays:
        return self.space.to_arrays()

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return self.space.n_categories == problem.n_categories and self.space.n_outputs == n_columns


@dataclass(frozen=True)
class Sensitivity:
    """The features, each in proportion to how far the base's prediction moves when its column is permuted."""

    name: ClassVar[str] = "sensitivity"
    space: FeatureSpace
    scale: Singles

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        return Position(self.space.transform(X) * self.scale)

    def to_arrays(self) -> Arrays:
        return {**self.space.to_arrays(), "sensitivity": self.scale}

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return self.space.n_categories == problem.n_categories and self.space.n_outputs == n_columns


@dataclass(frozen=True)
class OfModel:
    """What the base computes: a network's last hidden layer, a boosting's groups of trees; the paper's choice."""

    name: ClassVar[str] = "model"

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        represented = base.represent(X)
        if represented is None:
            raise UsageError(
                "this base has no representation of its own", "choose another --representation, for example features"
            )
        return Position(represented)

    def to_arrays(self) -> Arrays:
        return {}

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return True  # how much a base computes is seen when it does


@dataclass(frozen=True)
class OfColumn:
    """A column of vectors as it is, such as the embedding of a text.

    Attributes:
        column: its name.
        start, stop: the encoded columns that it fills.
    """

    column: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        return COLUMN + self.column

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        return Position(X[:, self.start : self.stop].astype(np.float32))

    def to_arrays(self) -> Arrays:
        return {"columns": np.array([self.start, self.stop])}

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        place = (self.start, self.stop)
        return problem.vectors.get(self.column) == place and self.stop - self.start == n_columns


@dataclass(frozen=True)
class Learned:
    """A trained encoder of the features and the base's prediction.

    Attributes:
        space: of the features.
        unit: [mean, spread] of the regression target.
        trained: the encoder; distances are in units of its own τ.
    """

    space: FeatureSpace
    unit: Floats
    trained: Neighbourhood

    @property
    def name(self) -> str:
        return LEARNED + self.trained.encoder.kind

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Position:
        # In double precision, because equal rows must become equal single-precision representations: a matrix
        # product's last bit depends on where in the batch a row stands.
        inputs: NDArray[Any] = encoder_inputs(self.space, self.unit, X, predictions).astype(np.float64)
        done = self.trained.encoder.forward(inputs)
        codes = done.codes / np.exp(self.trained.log_tau.astype(np.float64))
        # Training took the target in units of its spread.
        trend = None if done.trend is None else np.asarray(done.trend * self.unit[1], dtype=np.float64)
        return Position(codes.astype(np.float32), trend)

    def to_arrays(self) -> Arrays:
        own = {f"encoder_{name}": value for name, value in self.trained.to_arrays().items()}
        return {**self.space.to_arrays(), "unit": self.unit, **own}

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        encoder, has_trend = self.trained.encoder, "trend" in self.trained.encoder.weights
        return (
            self.space.n_categories == problem.n_categories
            and encoder.n_inputs == self.space.n_outputs + problem.n_outputs
            and encoder.n_codes == n_columns
            and (problem.is_regression or not has_trend)
        )


def cheap(base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
    """Return the names of the representations that need no training, those that this base allows on a row of `X`."""
    sensitivity = (Sensitivity.name,) if has_sensitivity(base, problem) else ()
    of_model = (OfModel.name,) if base.represent(X[:1]) is not None else ()
    return (Features.name, *sensitivity, *of_model, *(COLUMN + name for name in problem.vectors))


def has_sensitivity(base: Base, problem: Problem) -> bool:
    """Whether it is known, at a bearable cost, how far each feature moves the base's prediction."""
    return base.reads_features and len(problem.n_categories) <= _MOST_PERMUTED


def restore(name: str, arrays: Arrays) -> Representation:
    """Return the representation that `to_arrays` was asked of.

    Raises:
        ModelError: it is a network of format 1.
        KeyError, ValueError: there is none of this name, or the arrays are not its.
    """
    if name == OfModel.name:
        return OfModel()
    if name.startswith(COLUMN):
        return OfColumn(name.removeprefix(COLUMN), *stored(arrays, "columns", WHOLE, 2).tolist())
    space = FeatureSpace.from_arrays(arrays)
    if name == Features.name:
        return Features(space)
    if name == Sensitivity.name:
        return Sensitivity(space, stored(arrays, "sensitivity", SINGLE, space.n_outputs))
    kind_of(name)
    prefix = "encoder_"
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    if "in" in own:  # a network of format 1, which had one layer
        raise ModelError(f"the {name} encoder is of an older resmem", "run fit-residual again")
    if "log_tau" not in own:  # of format 1, whose codes were in units of τ already
        own |= {name: np.zeros((), np.float32) for name in ("log_tau", "log_gamma")}
    unit = stored(arrays, "unit", FLOAT, 2)
    learned = Learned(space, unit, Neighbourhood.restore(own))
    if learned.name != name or not unit[1] > 0:
        raise ValueError(f"the encoder is {learned.name}, not {name}, or the spread of its unit is {unit[1]}")
    return learned


def kind_of(name: str) -> encoder.Kind:
    """Return the kind of encoder of a learned representation, by its name."""
    for kind in encoder.KINDS:
        if name == LEARNED + kind:
            return kind
    raise ValueError(f"there is no representation '{name}'")


def encoder_inputs(space: FeatureSpace, unit: Floats, X: Floats, predictions: Floats) -> Singles:
    """Return what an encoder reads: [n, p] features, and the predictions on a like scale beside them."""
    if predictions.shape[1] == 1:
        beside = np.clip((predictions - unit[0]) / unit[1], -4, 4)
    else:
        beside = np.log(np.maximum(predictions, 1e-3)) / 2
    return np.hstack([space.transform(X), beside.astype(np.float32)])
