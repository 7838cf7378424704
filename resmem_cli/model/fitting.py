"""Fitting representations to training rows, on folds within them where labels are looked at.

A base is fitted to all but a quarter of the rows, four times. Encoders learn from what each leaves unexplained of the
quarter that it has not seen; and where a base fits its own rows so well that nothing is left to remember, its
predictions of the rows that it has not seen give residuals that are worth remembering (cross-fitted residuals).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import Literal, NamedTuple

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import learning
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import Base
from resmem_cli.model.encoder import Encoder
from resmem_cli.model.features import FeatureSpace, mean_and_spread
from resmem_cli.model.grouping import drawn
from resmem_cli.model.kernel import residuals
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.neighbourhood import Lesson, Neighbourhood
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.representation import (
    COLUMN,
    LEARNED,
    Features,
    Learned,
    OfColumn,
    OfModel,
    Representation,
    Sensitivity,
    encoder_inputs,
    has_sensitivity,
    kind_of,
)
from resmem_cli.model.splitting import Recipe, Rows, splits

# Of the base that remembers the row (the paper's), or of a base that was fitted without it.
Residuals = Literal["in-sample", "cross-fitted"]
RESIDUALS: tuple[Residuals, ...] = ("in-sample", "cross-fitted")

# Encoders by the name of their representation and the kind of residuals.
Starts = Mapping[tuple[str, Residuals], Neighbourhood]

_N_FOLDS = 4
# An encoder that starts from one of a fold's training rows has most of the way behind it.
_SHARE_OF_STEPS_TO_RESUME = 3
_MOST_LESSON_ROWS = 100_000
# A base that loses less than this share on its own rows of what it loses on others has fitted them too well.
_OVERFITTED = 0.5


class Place(NamedTuple):
    """Where a memory is: on which of the bases, in which representation, of which residuals."""

    base: int
    representation: str
    residuals: Residuals = "in-sample"


@dataclass(frozen=True)
class InnerFold:
    """One fold within the training rows.

    Attributes:
        known, asked: positions of the rows that its base was fitted to, and of those that it has not seen.
        predictions: [n, outputs] its base's, of all training rows.
    """

    known: Integers
    asked: Integers
    predictions: Floats


def silent(_: str) -> None:
    """Report nothing; a function of a module, so that it can be sent to another process."""


@dataclass(frozen=True)
class Fitting:
    """What the representations of one set of training rows have in common, computed when first asked for.

    Attributes:
        training, base: the rows, and the base whose memory they will be.
        recipe: how the base of a part of them comes about.
        n_steps: how long an encoder is trained.
        starts: encoders that were trained on other rows of the same kind, which are trained further.
    """

    training: Rows
    base: Base
    recipe: Recipe
    n_steps: int
    threads: int
    report: Callable[[str], None] = silent
    starts: Starts = field(default_factory=dict)

    def fit(self, name: str, kind: Residuals = "in-sample") -> Representation:
        """Return the representation called `name`; only a learned one looks at labels, and at the residuals' kind."""
        if name == OfModel.name:
            return OfModel()
        if name.startswith(COLUMN):
            column = name.removeprefix(COLUMN)
            return OfColumn(column, *self.recipe.problem.vectors[column])
        if name == Features.name:
            return Features(self.space)
        if name == Sensitivity.name:
            return Sensitivity(self.space, learning.starting_scale(self.sensitivity, self.space.sources, 0))
        trained = self._trained(name, self.lessons(kind), self.starts.get((name, kind)))
        return Learned(self.space, self.unit, trained)

    def _trained(self, name: str, lessons: Sequence[Lesson], start: Neighbourhood | None) -> Neighbourhood:
        """Train an encoder; what was begun on other rows is trained further, and keeps the waves that it has."""
        if not lessons:
            raise UsageError("an encoder has nothing to learn from rows that are all equal", "leave --encoder out")
        rng = np.random.default_rng(self.recipe.problem.seed)
        scale = learning.starting_scale(self.sensitivity, self.space.sources, self.recipe.problem.n_outputs)
        n_steps = self.n_steps
        if start is not None and start.encoder.n_inputs == len(scale):
            n_steps = -(-n_steps // _SHARE_OF_STEPS_TO_RESUME)
        else:
            n_trends = int(self.recipe.problem.is_regression)  # a trend of probabilities was no gain
            frequencies = learning.starting_frequencies(self.space.is_few_valued, self.space.is_two_valued)
            start = learning.started(lessons[0], Encoder.start(kind_of(name), scale, frequencies, n_trends, rng), rng)
        return learning.train(lessons, start, n_steps, rng, self.report)

    def predictions(self, kind: Residuals = "in-sample") -> Floats:
        """Return the [n, outputs] predictions of the training rows that residuals are taken from."""
        return self.out_of_fold if kind == "cross-fitted" else self.in_sample

    @cached_property
    def in_sample(self) -> Floats:
        return self.base.predict(self.training.X)

    @cached_property
    def out_of_fold(self) -> Floats:
        """[n, outputs] predictions of each row by a base that was fitted without it."""
        predictions = self.folds[0].predictions.copy()  # where rows are in no fold, because there are very many
        for fold in self.folds:
            predictions[fold.asked] = fold.predictions[fold.asked]
        return predictions

    @property
    def overfits(self) -> bool:
        """Whether the base fits its own rows so well that their residuals say little of what it misses."""
        if self.recipe.fixed is not None:  # its residuals of rows that are new to it are honest
            return False
        losses = (row_loss(self.training.y, each) for each in (self.in_sample, self.out_of_fold))
        seen, unseen = (np.average(each, weights=self.training.weight) for each in losses)
        return bool(seen < _OVERFITTED * unseen)

    @cached_property
    def space(self) -> FeatureSpace:
        rows = self.training
        return FeatureSpace.fit(rows.X, self.recipe.problem.n_categories, "normal", rows.weight)

    @cached_property
    def unit(self) -> Floats:
        mean, spread = mean_and_spread(self.training.y, self.training.weight)
        return np.array([mean, spread or 1.0])

    @cached_property
    def sensitivity(self) -> Floats:
        problem = self.recipe.problem
        n_features, rng = len(problem.n_categories), np.random.default_rng(problem.seed)
        if not has_sensitivity(self.base, problem):
            return np.ones(n_features)
        return learning.sensitivity(self.base, self.training.X, n_features, rng)

    @cached_property
    def folds(self) -> list[InnerFold]:
        """Folds within the training rows: an encoder judged on other rows has seen nothing of them."""
        rng = np.random.default_rng(self.recipe.problem.seed)
        X, y, problem = self.training.X, self.training.y, self.recipe.problem
        some = drawn(problem.groups(X), _MOST_LESSON_ROWS, rng)
        chosen = [(some[known], some[asked]) for known, asked in splits(X[some], y[some], problem, _N_FOLDS, rng)]
        self.report(f"fitting {_N_FOLDS} bases to learn from")
        arguments = [(self.training, known, self.recipe) for known, _ in chosen]
        found = side_by_side(_predictions_without, arguments, n_rows=len(y), threads=self.threads)
        return [InnerFold(*split, predictions) for split, predictions in zip(chosen, found, strict=True)]

    def lessons(self, kind: Residuals = "in-sample") -> list[Lesson]:
        """Return what an encoder learns from: of every fold, its honest queries and its memory."""
        lessons = (self._lesson(fold, kind) for fold in self.folds)
        return [lesson for lesson in lessons if len(lesson.queries)]

    def _lesson(self, fold: InnerFold, kind: Residuals) -> Lesson:
        is_fixed, problem = self.recipe.fixed is not None, self.recipe.problem
        asked = fold.asked[self.training.is_new[fold.asked]] if is_fixed else fold.asked
        known_rows, asked_rows = self.training.take(fold.known), self.training.take(asked)
        remembered = (self.out_of_fold if kind == "cross-fitted" else fold.predictions)[fold.known]
        predictions = fold.predictions[asked]
        length = self.unit[1] if problem.is_regression else 1.0
        targets = residuals(asked_rows.y, np.zeros_like(predictions))  # what is left of a prediction of 0: the target
        weight = asked_rows.weight
        return Lesson(
            memory=encoder_inputs(self.space, self.unit, known_rows.X, remembered),
            residuals=(residuals(known_rows.y, remembered) / length).astype(np.float32),
            queries=encoder_inputs(self.space, self.unit, asked_rows.X, predictions),
            predictions=(predictions / length).astype(np.float32),
            targets=(targets / length).astype(np.float32),
            weight=None if weight is None else weight / weight.sum(),
        )


class Represented(NamedTuple):
    """A representation of training rows, and the [n, outputs] predictions that their residuals are taken from."""

    representation: Representation
    predictions: Floats


def represent(fittings: Sequence[Fitting], places: Sequence[Place], threads: int) -> list[Represented]:
    """Fit the representation of every place, side by side where several encoders are trained."""
    arguments = [(fittings[place.base], place) for place in places]
    is_learned = [place.representation.startswith(LEARNED) for place in places]
    learned = list(compress(arguments, is_learned))
    if len(learned) < 2 or threads == 1:
        return [represented_alone(*each) for each in arguments]
    for fitting, _ in learned:
        _ = fitting.folds  # what several share is computed once, and goes with each
    fittings[0].report(
        "training " + " and ".join(f"{p.representation} on {f.recipe.spec.estimator}" for f, p in learned)
    )
    alone = [(replace(fitting, threads=1, report=silent), place) for fitting, place in learned]
    for (fitting, _), (copied, _) in zip(learned, alone, strict=True):
        copied.__dict__["folds"] = fitting.folds
    n_rows = len(fittings[0].training.y)
    trained = iter(list(side_by_side(represented_alone, alone, n_rows=n_rows, threads=threads, is_long=True)))
    pairs = zip(is_learned, arguments, strict=True)
    return [next(trained) if is_long else represented_alone(*each) for is_long, each in pairs]


def represented_alone(fitting: Fitting, place: Place) -> Represented:
    """Fit the representation of one place, whose base is that of `fitting`."""
    return Represented(fitting.fit(place.representation, place.residuals), fitting.predictions(place.residuals))


def _predictions_without(training: Rows, known: Integers, recipe: Recipe) -> Floats:
    return recipe.base_for(training.take(known)).predict(training.X)
