"""ResMem: bases, memories of what they left unexplained, and the weighted mean of their sums."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import conformal
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.bases.protocol import predict_and_represent
from resmem_cli.model.combination import combined, in_base, mean_of_bases
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.explanation import Explanation, Shares, percentiles
from resmem_cli.model.kernel import Corrections, Settings, row_residuals
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.residuals import NOT_NEEDED, Residuals, SparseResiduals, sparse_residuals
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces import Space
from resmem_cli.model.spaces.of_model import OfModel
from resmem_cli.model.spaces.training import ResidualKind
from resmem_cli.model.sparse_correction import SparseCorrections, corrections

_HELD_RESIDUALS = 1_000_000  # of neighbours, at once
_MOST_ROWS = 8_192  # at once: enough for searches in order, few enough to hold what a member needs of them


@dataclass(frozen=True)
class Prediction:
    """Predictions of n rows, and where they lie if that was asked for.

    Attributes:
        base, resmem: [n, outputs] without and with the memory: numbers, or probabilities of the classes.
        neighbor_std: [n] standard deviation of the neighbours' residuals, in the mean over the members; of numbers.
        distance: [n] from the nearest cell of the first member's memory.
    """

    base: Floats
    resmem: Floats
    neighbor_std: Floats | None = None
    distance: Floats | None = None


@dataclass(frozen=True)
class OfBases:
    """What bases make of n rows, by their position among the model's.

    Attributes:
        predictions: [n, outputs] of every base that is part of the base, or that a member corrects.
        represented: [n, p] of every base in whose representation a member takes distances.
    """

    predictions: Mapping[int, Floats]
    represented: Mapping[int, Singles]

    def take(self, part: slice) -> OfBases:
        """Return what they make of a part of the rows."""
        return OfBases(
            {i: each[part] for i, each in self.predictions.items()},
            {i: each[part] for i, each in self.represented.items()},
        )


@dataclass(frozen=True)
class Neighbors:
    """The neighbours of n rows in one member's memory, and what they make of the base's predictions.

    Attributes:
        cells: [n, k] nearest first.
        corrections: by the same neighbours.
    """

    cells: Integers
    corrections: Corrections


@dataclass(frozen=True)
class Member:
    """A base corrected by a memory of its residuals.

    Attributes:
        base: the position of the base among the model's.
        space: where distances are taken.
        memory: what is remembered.
        settings: how the memory is used.
        weight: of this member in the prediction; those of all, and the base's share, sum to 1.
        residuals: which kind is remembered.
    """

    base: int
    space: Space
    memory: Memory
    settings: Settings
    weight: float = 1.0
    residuals: ResidualKind = "in-sample"

    def neighbors(self, rows: Encoded, base: Base, predictions: Floats, threads: int) -> Neighbors:
        """Return the neighbours of n encoded rows, for which the base predicts [n, outputs]."""
        queries = self.space.represent(rows, base, predictions)
        distances, cells = self.memory.neighbors(queries.points, self.settings.n_neighbors, threads)
        residuals, counts = self.memory.residuals, self.memory.counts[cells]
        found = corrections(
            predictions,
            distances,
            counts,
            lambda _: residuals[cells],  # they were taken at the temperature of the settings
            queries.trend,
            is_sparse=self.memory.is_sparse,
        )
        return Neighbors(cells, found)

    def predictions(self, near: Neighbors) -> Floats:
        """Return [n, outputs] predictions of the base, corrected by the neighbours."""
        return near.corrections.predictions(self.settings)

    def neighbor_std(self, near: Neighbors) -> Floats:
        """Return [n] the standard deviation of the residuals of the neighbours, of numbers."""
        return conformal.neighbor_std(near.corrections.residuals(self.settings)[:, :, 0], near.corrections.counts)

    def shares(self, near: Neighbors, weight: float, outputs: Integers) -> Shares:
        """Return what the neighbours add to the prediction, in which this member has a weight.

        Of very many classes, only to that of the [n] `outputs`.
        """
        corrections = near.corrections
        weights = corrections.weights(self.settings)
        if isinstance(corrections, SparseCorrections):
            residuals = corrections.neighbor_residuals(self.settings).of_classes(outputs)[:, :, None]
        else:
            residuals = corrections.residuals(self.settings)
        if corrections.trend is not None:
            residuals = residuals + corrections.trend[:, None, :]
        contributions = weight * self.settings.shrinkage * weights[:, :, None] * residuals
        return Shares(near.cells, corrections.distances, weights, residuals, contributions)

    def remembered(self, new: LabelledRows, base: Base) -> tuple[Singles, Residuals]:
        """Return what the memory holds of [a] rows once they are added: [a, p] points and [a, outputs] residuals."""
        held = self.memory.residuals
        if not len(new.y):
            return np.empty((0, self.memory.index.n_columns), np.float32), held[:0]
        if isinstance(held, SparseResiduals):
            position = self.space.represent(Encoded(new.X), base, NOT_NEEDED)
            temperature = self.settings.temperature
            at = sparse_residuals(base, new.X, new.y, held.n_classes, [temperature])
            return position.points, at[temperature]
        predictions = base.predict(new.X)
        position = self.space.represent(Encoded(new.X), base, predictions)
        return position.points, row_residuals(new.y, predictions, self.settings.temperature, position.trend)

    def copied(self) -> Member:
        """Return the member with a search index of its own."""
        return replace(self, memory=replace(self.memory, index=copy.deepcopy(self.memory.index)))

    def changed(
        self, kept: NDArray[np.bool_], new: LabelledRows, base: Base, weight: Floats | None, *, seed: int, threads: int
    ) -> Member:
        """Return the member whose memory has the rows that are kept, and new ones."""
        return self.with_residuals(kept, *self.remembered(new, base), weight, seed=seed, threads=threads)

    def with_residuals(
        self,
        kept: NDArray[np.bool_],
        points: Singles,
        residuals: Residuals,
        weight: Floats | None,
        *,
        seed: int,
        threads: int,
    ) -> Member:
        """Return the member whose memory has the rows that are kept, and others, of which `remembered` gave this."""
        memory = self.memory.changed(
            kept,
            points,
            residuals,
            weight,
            n_neighbors=self.settings.n_neighbors,
            seed=seed,
            threads=threads,
        )
        return replace(self, memory=memory)


@dataclass(frozen=True)
class ResMem:
    """Bases with memories of their residuals.

    Attributes:
        bases: the models whose weighted mean is the base.
        members: the corrected models whose weighted mean, with the base among them, is the prediction.
        calibration: what prediction intervals follow from; None if no rows were held out.
        base_weights: of each of the bases, which sum to 1; without any, the first is the base.
        base_share: what the base without memory weighs in the prediction; the members weigh the rest.
    """

    bases: tuple[Base, ...]
    members: tuple[Member, ...]
    calibration: Calibration | None = None
    base_weights: tuple[float, ...] = ()
    base_share: float = 0.0

    @property
    def uses_memory(self) -> bool:
        """Whether a prediction can differ from the base's."""
        return use_memory(self.members)

    @property
    def weights(self) -> Floats:
        """[members] of the members in the prediction."""
        return np.array([member.weight for member in self.members])

    def copied(self) -> ResMem:
        """Return a model whose search graphs may be changed while others predict with this one."""
        return replace(self, members=tuple(member.copied() for member in self.members))

    def predict(
        self, X: Floats, *, threads: int = 1, with_place: bool = False, most_held: int = _HELD_RESIDUALS
    ) -> Prediction:
        """Predict [n, d] encoded rows.

        Args:
            X: the rows.
            threads: how many.
            with_place: whether to add `neighbor_std` and `distance`.
            most_held: how many residuals of neighbours, or probabilities, may be held at once.
        """
        if not (self.uses_memory or with_place):
            base = predict_base(self.bases, self.base_weights, X)
            return Prediction(base, base)
        of_bases = self.ask_bases(X)
        base = mean_of_bases(of_bases.predictions, self.base_weights)
        resmem, std, distance = np.empty_like(base), np.empty(len(X)), np.empty(len(X))
        has_std = with_place and base.shape[1] == 1
        for part in self._parts(len(X), base.shape[1], most_held):
            near = self.neighbors(X[part], of_bases.take(part), threads)
            if self.uses_memory:
                resmem[part] = self._mean(base[part], [member.predictions(own) for member, own in self._with(near)])
            distance[part] = near[0].corrections.distances[:, 0]
            if has_std:
                std[part] = conformal.mean_std([m.neighbor_std(own) for m, own in self._with(near)], self.weights)
        after = resmem if self.uses_memory else base
        return Prediction(base, after, std if has_std else None, distance if with_place else None)

    def interval(self, prediction: Prediction, coverage: float) -> tuple[Floats, Floats] | NDArray[np.bool_]:
        """Return the [n] lower and upper ends of prediction intervals, or the [n, classes] of prediction sets.

        Args:
            prediction: what `predict` returned `with_place`.
            coverage: the share of new rows whose target is to lie within, between 0 and 1.

        Raises:
            UsageError: no rows were held out, or too few for this coverage.
        """
        calibration = conformal.sufficient(self.calibration, coverage)
        if prediction.neighbor_std is None:
            return conformal.sets(prediction.resmem, calibration, coverage)
        return conformal.interval(prediction.resmem[:, 0], prediction.neighbor_std, calibration, coverage)

    def explain(self, X: Floats, usual: Floats, *, threads: int = 1) -> Explanation:
        """Explain the predictions of [n, d] encoded rows, which are few enough to hold all their neighbours.

        Args:
            X: the rows.
            usual: what `usual_distances` gives for the first member's memory.
            threads: how many.
        """
        of_bases = self.ask_bases(X)
        near = self.neighbors(X, of_bases, threads)
        base = prediction = mean_of_bases(of_bases.predictions, self.base_weights)
        if self.uses_memory:
            prediction = self._mean(base, [member.predictions(own) for member, own in self._with(near)])
        winners = prediction.argmax(axis=1)
        shares = tuple(
            member.shares(own, member.weight if self.uses_memory else 0.0, winners) for member, own in self._with(near)
        )
        return Explanation(base, prediction, shares, percentiles(near[0].corrections.distances[:, 0], usual))

    def remember(
        self, rows: LabelledRows, replaced_by: Integers, weight: Floats | None, *, seed: int, threads: int = 1
    ) -> ResMem:
        """Return the model that also remembers [a] further rows; the search graphs of this one must not be used again.

        Args:
            rows: the rows to add.
            replaced_by: [n] for every remembered row the position among `rows` of the one that replaces it, or -1.
            weight: [kept + a] of the rows that stay and of those that are added, or None.
            seed: of the search graphs.
            threads: how many.
        """
        kept = replaced_by < 0
        moved = np.where(kept, np.cumsum(kept) - 1, np.count_nonzero(kept) + replaced_by)
        return self._changed(kept, rows, moved, weight, seed=seed, threads=threads)

    def forget(self, which: NDArray[np.bool_], weight: Floats | None, *, seed: int, threads: int = 1) -> ResMem:
        """Return the model without [n] `which` of the remembered rows; `weight` is [kept] of those that stay, or None.

        Everything is as if the rows had never been remembered, but the choice of bases, spaces and settings.
        """
        kept = ~which
        moved = np.where(kept, np.cumsum(kept) - 1, -1)
        return self._changed(kept, _NO_ROWS, moved, weight, seed=seed, threads=threads)

    def _changed(
        self,
        kept: NDArray[np.bool_],
        new: LabelledRows,
        moved: Integers,
        weight: Floats | None,
        *,
        seed: int,
        threads: int,
    ) -> ResMem:
        members = [
            member.changed(kept, new, self.bases[member.base], weight, seed=seed, threads=threads)
            for member in self.members
        ]
        calibration = None if self.calibration is None else self.calibration.moved(moved)
        return replace(self, members=tuple(members), calibration=calibration)

    def ask_bases(self, X: Floats) -> OfBases:
        """Return what the bases that the prediction needs make of [n, d] encoded rows."""
        predictions, represented = {}, {}
        in_space = {member.base for member in self.members if isinstance(member.space, OfModel)}
        for i in sorted({*in_base(self.base_weights), *(member.base for member in self.members)}):
            if i not in in_space:
                predictions[i] = self.bases[i].predict(X)
                continue
            predictions[i], points = predict_and_represent(self.bases[i], X)
            if points is not None:
                represented[i] = points
        return OfBases(predictions, represented)

    def neighbors(self, X: Floats, of_bases: OfBases, threads: int = 1) -> list[Neighbors]:
        """Return per member the neighbours of [n, d] encoded rows, of which the bases make this."""
        rows = Encoded(X, {id(self.bases[i]): points for i, points in of_bases.represented.items()})
        return [m.neighbors(rows, self.bases[m.base], of_bases.predictions[m.base], threads) for m in self.members]

    def _with(self, near: Sequence[Neighbors]) -> zip[tuple[Member, Neighbors]]:
        return zip(self.members, near, strict=True)

    def _mean(self, base: Floats, predictions: Sequence[Floats]) -> Floats:
        return combined([*predictions, base], np.append(self.weights, self.base_share))

    def _parts(self, n_rows: int, n_outputs: int, most_held: int) -> list[slice]:
        """Return slices of the rows, of which all neighbours' residuals can be held."""
        of_members = (m.settings.n_neighbors * m.memory.n_held for m in self.members)
        step = min(_MOST_ROWS, max(1, most_held // (max(*of_members, n_outputs) * len(self.members))))
        return [slice(start, start + step) for start in range(0, n_rows, step)]


def use_memory(members: Iterable[Member]) -> bool:
    """Whether a prediction by these members can differ from the base's."""
    return any(member.settings.shrinkage > 0 or member.base > 0 for member in members)


def predict_base(bases: Sequence[Base], weights: Sequence[float], X: Floats) -> Floats:
    """Return the [n, outputs] predictions of the base for [n, d] encoded rows: the weighted mean of its models."""
    return mean_of_bases({i: bases[i].predict(X) for i in in_base(weights)}, weights)


_NO_ROWS = LabelledRows(np.empty((0, 0)), np.empty(0), None, np.empty(0, dtype=np.bool_))
