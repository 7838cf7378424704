"""The few rows whose predictions the memory improves or spoils most, kept as the rows pass."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.schema import Schema
from resmem_cli.model import metrics
from resmem_cli.model.resmem import Prediction
from resmem_cli.store.rows import RowNames
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import explain
from resmem_cli.workflow.explain import Explained
from resmem_cli.workflow.labelled import Labelled

_EACH = 3  # improved, and spoilt
_MOST_FEATURES = 12  # that are kept of a row
_TOP = 5  # neighbours


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        explained: why it is predicted as it is.
        truth: its target: a number, or the name of a class.
        base, resmem: without and with the memory: the predicted number, or the probability of the row's own class.
        base_loss, resmem_loss: by the objective, squared for rmse.
        features: name and value of some features, as they were read.
    """

    explained: Explained
    truth: float | str
    base: float
    resmem: float
    base_loss: float
    resmem_loss: float
    features: tuple[tuple[str, str], ...]

    @property
    def is_improved(self) -> bool:
        """Whether the memory brought the prediction nearer to the truth."""
        return self.resmem_loss < self.base_loss


@dataclass(frozen=True)
class _Kept:
    """What is kept of a row until all are known."""

    number: int
    hash: int
    X: Floats
    y: float
    own: tuple[float, float]
    losses: tuple[float, float]
    id: str | None
    features: tuple[tuple[str, str], ...]


class Extremes:
    """Keeps the rows of the largest gains and losses, of equal rows the first."""

    def __init__(self, schema: Schema, objective: str) -> None:
        """Take what rows are read by, and the metric that gains are of."""
        self._schema, self._objective = schema, objective
        self._features = [column.name for column in schema.columns if column.kind is not Kind.VECTOR][:_MOST_FEATURES]
        # By the direction: heaps of (gain, minus the number, what is kept), the least extreme first.
        self._heaps: dict[int, list[tuple[float, int, _Kept]]] = {1: [], -1: []}

    @property
    def columns(self) -> frozenset[str]:
        """Those that are shown of a row."""
        return frozenset(self._features)

    def add(self, rows: Labelled, at: NDArray[np.int64], y: Floats, prediction: Prediction) -> None:
        """Take rows: their positions [n] in a batch, their targets and predictions."""
        if not len(at):
            return
        base, resmem = (metrics.row_loss(y, each, self._objective) for each in (prediction.base, prediction.resmem))
        gains = base - resmem
        for sign, heap in self._heaps.items():
            order = np.argsort(-sign * gains, kind="stable")
            hashes = {kept.hash for _, _, kept in heap}
            for i in order.tolist():
                gain = sign * float(gains[i])
                if not gain > 0 or (len(heap) == _EACH and gain <= heap[0][0]):
                    break
                if int(rows.hashes[at[i]]) in hashes:
                    continue
                output = int(y[i]) if self._schema.target.classes else 0
                own = float(prediction.base[i, output]), float(prediction.resmem[i, output])
                kept = self._kept(rows, int(at[i]), own, (float(base[i]), float(resmem[i])))
                hashes.add(kept.hash)
                (heapq.heappush if len(heap) < _EACH else heapq.heapreplace)(heap, (gain, -kept.number, kept))

    def _kept(self, rows: Labelled, position: int, own: tuple[float, float], losses: tuple[float, float]) -> _Kept:
        number = position + 1 if rows.numbers is None else int(rows.numbers[position])
        identity, features = None, tuple[tuple[str, str], ...]()
        if rows.rows is not None:
            row = rows.rows.take(np.array([position]))
            there = set(row.table.column_names)
            features = tuple((name, _written(row.column(name)[0].as_py())) for name in self._features if name in there)
            ids = explain.ids_of(row, self._schema)
            identity = ids[0] if ids else None
        X, y = rows.X[position].copy(), float(rows.y[position])
        return _Kept(number, int(rows.hashes[position]), X, y, own, losses, identity, features)

    def explained(self, stored: StoredModel, names: RowNames, usual: Floats, threads: int) -> list[Example]:
        """Return the rows with their neighbours: those that gain most first, then those that lose most."""
        kept = [each for heap in self._heaps.values() for _, _, each in sorted(heap, reverse=True)]
        if not kept:
            return []
        found = explain.explain_encoded(
            np.array([each.X for each in kept]),
            None if all(each.id is None for each in kept) else [each.id or "" for each in kept],
            stored,
            names,
            usual,
            numbers=[each.number for each in kept],
            top=_TOP,
            threads=threads,
        )
        return [self._example(each, why) for each, why in zip(kept, found, strict=True)]

    def _example(self, kept: _Kept, why: Explained) -> Example:
        names: Sequence[str] = self._schema.target.class_names
        truth = names[int(kept.y)] if names else kept.y
        return Example(why, truth, *kept.own, *kept.losses, kept.features)


def _written(value: Any) -> str:
    if value is None:
        return "(missing)"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
