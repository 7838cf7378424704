"""Distances between the codes of a trained encoder: a space in which neighbours explain the residual."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import FLOAT, Arrays, Floats, Singles, stored
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.kernel import residuals as residuals_of
from resmem_cli.model.scaling import Encoded, Scaler
from resmem_cli.model.spaces import learning
from resmem_cli.model.spaces.encoder import KINDS, Encoder, Kind, Sizes
from resmem_cli.model.spaces.learning import Checkpoint
from resmem_cli.model.spaces.neighbourhood import EncoderFold, Neighbourhood
from resmem_cli.model.spaces.protocol import Position
from resmem_cli.model.spaces.training import InnerFold, ResidualKind, Training

_PREFIX = "encoder_"  # of the encoder's arrays among the space's


@dataclass(frozen=True)
class Learned:
    """A trained encoder of the features and the base's prediction.

    Attributes:
        scaler: of the features.
        target_scale: [mean, standard deviation] of a numeric target.
        trained: the encoder; distances are in units of its τ.
        checkpoint: where its training would go on with more rows; not stored.
    """

    needs_training: ClassVar[bool] = True
    own_bandwidths: ClassVar[tuple[float, ...]] = (0.4, 0.7, 1.0)
    scaler: Scaler
    target_scale: Floats
    trained: Neighbourhood
    checkpoint: Checkpoint | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return name_of(self.trained.encoder.kind)

    @classmethod
    def has_variant(cls, variant: str) -> bool:
        return variant in KINDS

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        return ()

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        """Train an encoder; one that a fold has trained is trained further, and keeps its periodic features.

        Raises:
            UsageError: all rows have equal features, so that no fold has both training and held-out rows.
        """
        kind = _kind(variant)
        before = _checkpoint_before(training, name_of(kind), residuals)
        scaler = training.scaler if before is None else before[0]
        folds = encoder_folds(training, residuals, scaler)
        if not folds:
            raise UsageError(
                "all rows have equal features, from which an encoder learns nothing", "leave --encoder out"
            )
        rng = np.random.default_rng(training.problem.seed)
        schedule = training.schedule
        if before is not None:
            start, schedule = before[1], schedule.resumed
        else:
            scale = _starting_scale(training)
            frequencies = learning.starting_frequencies(scaler.is_few_valued, scaler.is_two_valued)
            n_trends = int(training.problem.is_regression)  # a trend of probabilities was no gain
            sizes = Sizes.for_outputs(training.problem.n_outputs)
            encoder = Encoder.start(kind, scale, frequencies, n_trends, rng, sizes=sizes)
            start = Checkpoint(learning.started(folds[0], encoder, schedule.density, rng))
        trained, checkpoint = learning.train(folds, start, schedule, rng, training.report)
        return cls(scaler, training.target_scale, trained, checkpoint)

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        inputs = _beside(rows.scaled(self.scaler), self.target_scale, predictions)
        codes, trend = self.trained.encoder.encode(inputs)
        codes /= np.exp(self.trained.log_tau)
        # Training took the target in units of its standard deviation.
        return Position(codes, None if trend is None else trend.astype(np.float64) * self.target_scale[1])

    def to_arrays(self) -> Arrays:
        encoder = {_PREFIX + name: value for name, value in self.trained.to_arrays().items()}
        return {**self.scaler.to_arrays(), "unit": self.target_scale, **encoder}

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        encoder = {name.removeprefix(_PREFIX): value for name, value in arrays.items() if name.startswith(_PREFIX)}
        target_scale = stored(arrays, "unit", FLOAT, 2)
        if not target_scale[1] > 0:
            raise ValueError(f"the standard deviation of the target is {target_scale[1]}")
        return cls(Scaler.from_arrays(arrays), target_scale, Neighbourhood.restore(_kind(variant), encoder))

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        encoder, has_trend = self.trained.encoder, "trend" in self.trained.encoder.weights
        return (
            self.scaler.n_categories == problem.n_categories
            and encoder.n_inputs == self.scaler.n_outputs + problem.n_outputs
            and encoder.n_codes == n_columns
            and (problem.is_regression or not has_trend)
        )


def name_of(kind: Kind) -> str:
    """Return the name of the space of a kind of encoder."""
    return f"learned:{kind}"


def encoder_inputs(scaler: Scaler, target_scale: Floats, X: Floats, predictions: Floats) -> Singles:
    """Return what an encoder reads: [n, p] scaled features, and the predictions on a similar scale."""
    return _beside(scaler.transform(X), target_scale, predictions)


def _beside(features: Singles, target_scale: Floats, predictions: Floats) -> Singles:
    if predictions.shape[1] == 1:
        beside = np.clip((predictions - target_scale[0]) / target_scale[1], -4, 4)
    else:
        beside = np.log(np.maximum(predictions, 1e-3)) / 2
    return np.hstack([features, beside.astype(np.float32)])


def encoder_folds(training: Training, residuals: ResidualKind, scaler: Scaler) -> list[EncoderFold]:
    """Return what an encoder of scaled features learns from: of every inner fold, its held-out queries and memory."""
    every = (_encoder_fold(training, fold, residuals, scaler) for fold in training.folds)
    return [fold for fold in every if len(fold.queries)]


def _encoder_fold(training: Training, fold: InnerFold, residuals: ResidualKind, scaler: Scaler) -> EncoderFold:
    rows = training.rows
    # A base that stays as it is has seen some of the rows; only its errors on the others are those of unseen rows.
    held_out = fold.held_out[rows.is_new[fold.held_out]] if training.recipe.fixed is not None else fold.held_out
    remembered, queries = rows.take(fold.training), rows.take(held_out)
    of_remembered = (training.out_of_fold if residuals == "cross-fitted" else fold.predictions)[fold.training]
    of_queries = fold.predictions[held_out]
    length = training.target_scale[1] if training.problem.is_regression else 1.0
    targets = residuals_of(queries.y, np.zeros_like(of_queries))  # what a prediction of 0 leaves: the target
    return EncoderFold(
        memory=encoder_inputs(scaler, training.target_scale, remembered.X, of_remembered),
        residuals=(residuals_of(remembered.y, of_remembered) / length).astype(np.float32),
        queries=encoder_inputs(scaler, training.target_scale, queries.X, of_queries),
        predictions=(of_queries / length).astype(np.float32),
        targets=(targets / length).astype(np.float32),
        weight=None if queries.weight is None else queries.weight / queries.weight.sum(),
    )


def _checkpoint_before(training: Training, name: str, residuals: ResidualKind) -> tuple[Scaler, Checkpoint] | None:
    """Return the scaler and the checkpoint of an encoder that a fold has trained; None if none read such columns.

    Principal components of other rows have other signs and another order: where columns are many, it keeps its own.
    """
    before = training.starts.get((name, residuals))
    if not isinstance(before, Learned) or before.checkpoint is None:
        return None
    if before.scaler.n_outputs != training.scaler.n_outputs:
        return None
    return training.scaler if before.scaler.axes is None else before.scaler, before.checkpoint


def _starting_scale(training: Training) -> Singles:
    """Return [p] the encoder's first scale: of the features by sensitivity, then of the predictions."""
    n_predictions = training.problem.n_outputs
    of_predictions = np.full(n_predictions, 0.5 if n_predictions == 1 else 0.3, np.float32)
    return np.concatenate([training.feature_scale, of_predictions])


def _kind(variant: str) -> Kind:
    for kind in KINDS:
        if kind == variant:
            return kind
    raise ValueError(f"there is no encoder '{variant}'")
