"""The representations φ: what it means for two rows to be near each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import UsageError
from resmem_cli.model import encoder, learning
from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.encoder import Encoder, Lesson
from resmem_cli.model.features import FeatureSpace
from resmem_cli.model.kernel import residuals
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.splitting import Recipe, Rows, splits

LEARNED = "learned:"
_LESSONS = 4  # folds that an encoder learns from
_MOST_LESSON_ROWS = 100_000


class Representation(Protocol):
    """A map from encoded rows to the space that distances are taken in."""

    @property
    def name(self) -> str: ...

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Singles:
        """Return [n, p] representations of [n, d] encoded rows, which `base` predicts as [n, outputs]."""
        ...

    def to_arrays(self) -> Arrays: ...


@dataclass(frozen=True)
class Features:
    """The columns themselves: numbers as normal scores, categories as indicators."""

    name: ClassVar[str] = "features"
    space: FeatureSpace

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Singles:
        return self.space.transform(X)

    def to_arrays(self) -> Arrays:
        return self.space.to_arrays()


@dataclass(frozen=True)
class Sensitivity:
    """The features, each in proportion to how far the base's prediction moves when its column is permuted."""

    name: ClassVar[str] = "sensitivity"
    space: FeatureSpace
    scale: Singles

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Singles:
        return self.space.transform(X) * self.scale

    def to_arrays(self) -> Arrays:
        return {**self.space.to_arrays(), "sensitivity": self.scale}


@dataclass(frozen=True)
class OfModel:
    """What the base computes: a network's last hidden layer, a boosting's groups of trees; the paper's choice."""

    name: ClassVar[str] = "model"

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Singles:
        represented = base.represent(X)
        if represented is None:
            raise UsageError(
                "this base has no representation of its own", "choose another --representation, for example features"
            )
        return represented

    def to_arrays(self) -> Arrays:
        return {}


@dataclass(frozen=True)
class Learned:
    """A trained encoder of the features and the base's prediction.

    Attributes:
        kind: of the encoder.
        space: of the features.
        unit: [mean, spread] of the regression target.
        encoder: trained, in units of its own τ.
    """

    kind: encoder.Kind
    space: FeatureSpace
    unit: Floats
    encoder: Encoder

    @property
    def name(self) -> str:
        return LEARNED + self.kind

    def represent(self, X: Floats, base: Base, predictions: Floats) -> Singles:
        # In double precision, because equal rows must become equal single-precision representations: a matrix
        # product's last bit depends on where in the batch a row stands.
        inputs: NDArray[Any] = _inputs(self.space, self.unit, X, predictions).astype(np.float64)
        return self.encoder.encode(inputs).astype(np.float32)

    def to_arrays(self) -> Arrays:
        own = {f"encoder_{name}": value for name, value in self.encoder.weights.items()}
        return {**self.space.to_arrays(), "unit": self.unit, **own}


def available(base: Base, X: Floats) -> tuple[str, ...]:
    """Return the names of the representations that this base allows, tried on a row of `X`."""
    of_model = (OfModel.name,) if base.represent(X[:1]) is not None else ()
    return (Features.name, Sensitivity.name, *of_model, *(LEARNED + kind for kind in encoder.KINDS))


@dataclass(frozen=True)
class Fitting:
    """What the representations of one set of training rows have in common, computed when first asked for.

    Attributes:
        training, base: the rows, and the base whose memory they will be.
        recipe: how the base of a part of them comes about, for the folds that an encoder learns from.
        n_steps: how long an encoder is trained.
    """

    training: Rows
    base: Base
    recipe: Recipe
    n_steps: int
    threads: int
    report: Callable[[str], None] = lambda _: None

    def fit(self, name: str) -> Representation:
        """Return the representation called `name`; only a learned one looks at labels."""
        if name == OfModel.name:
            return OfModel()
        if name == Features.name:
            return Features(self.space)
        if name == Sensitivity.name:
            return Sensitivity(self.space, learning.starting_scale(self.sensitivity, self.space.sources, 0))
        kind = _kind(name)
        self.report(f"training the {kind} encoder")
        rng = np.random.default_rng(self.recipe.problem.seed)
        scale = learning.starting_scale(self.sensitivity, self.space.sources, self.recipe.problem.n_outputs)
        start = Encoder.start(kind, scale, rng)
        trained, _ = learning.train(self.lessons, start, self.n_steps, rng, self.report)
        return Learned(kind, self.space, self.unit, trained)

    @cached_property
    def space(self) -> FeatureSpace:
        return FeatureSpace.fit(self.training.X, self.recipe.problem.n_categories, "normal")

    @cached_property
    def unit(self) -> Floats:
        return np.array([self.training.y.mean(), self.training.y.std() or 1.0])

    @cached_property
    def sensitivity(self) -> Floats:
        return learning.sensitivity(self.base, self.training.X, np.random.default_rng(self.recipe.problem.seed))

    @cached_property
    def lessons(self) -> list[Lesson]:
        """Folds within the training rows: an encoder judged on other rows has seen nothing of them."""
        problem, training = self.recipe.problem, self.training
        rng = np.random.default_rng(problem.seed)
        if len(training.y) > _MOST_LESSON_ROWS:
            training = training.take(rng.permutation(len(training.y))[:_MOST_LESSON_ROWS])
        folds = splits(training.y, problem, _LESSONS, rng)
        arguments = [
            (training.take(known), training.take(asked), self.recipe, self.space, self.unit) for known, asked in folds
        ]
        self.report(f"fitting {_LESSONS} bases to learn from")
        found = side_by_side(_lesson, arguments, n_rows=len(training.y), threads=self.threads)
        return [lesson for lesson in found if len(lesson.queries)]


def restore(name: str, arrays: Arrays) -> Representation:
    """Return the representation that `to_arrays` was asked of."""
    if name == OfModel.name:
        return OfModel()
    space = FeatureSpace.from_arrays(arrays)
    if name == Features.name:
        return Features(space)
    if name == Sensitivity.name:
        return Sensitivity(space, arrays["sensitivity"])
    prefix = "encoder_"
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return Learned(_kind(name), space, arrays["unit"], Encoder(own))


def _kind(name: str) -> encoder.Kind:
    for kind in encoder.KINDS:
        if name == LEARNED + kind:
            return kind
    raise ValueError(f"there is no representation '{name}'")


def _inputs(space: FeatureSpace, unit: Floats, X: Floats, predictions: Floats) -> Singles:
    """Return what the encoder reads: [n, p] features, and the predictions on a like scale beside them."""
    if predictions.shape[1] == 1:
        beside = np.clip((predictions - unit[0]) / unit[1], -4, 4)
    else:
        beside = np.log(np.maximum(predictions, 1e-3)) / 2
    return np.hstack([space.transform(X), beside.astype(np.float32)])


def _lesson(known: Rows, asked: Rows, recipe: Recipe, space: FeatureSpace, unit: Floats) -> Lesson:
    asked = recipe.honest(asked)
    base = recipe.base_for(known)
    remembered, predictions = base.predict(known.X), base.predict(asked.X)
    length = unit[1] if recipe.problem.is_regression else 1.0
    targets = residuals(asked.y, np.zeros_like(predictions))  # what is left of a prediction of 0 is the target itself
    return Lesson(
        memory=_inputs(space, unit, known.X, remembered),
        residuals=(residuals(known.y, remembered) / length).astype(np.float32),
        queries=_inputs(space, unit, asked.X, predictions),
        predictions=(predictions / length).astype(np.float32),
        targets=(targets / length).astype(np.float32),
        weight=None if asked.weight is None else asked.weight / asked.weight.sum(),
    )
