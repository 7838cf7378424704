"""A model directory as it is read: the bases, and the whole with the memories that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from resmem_cli.data.schema import Schema
from resmem_cli.model import metrics
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.resmem import ResMem
from resmem_cli.store.history import Entry


def problem_of(schema: Schema, seed: int) -> Problem:
    """Return what bases are to learn that read rows by a schema."""
    return Problem(
        schema.n_categories,
        len(schema.target.classes),
        seed,
        schema.vectors,
        schema.n_levels,
        schema.encoded_columns,
    )


@dataclass(frozen=True)
class StoredBase:
    """The bases as they lie in their directory.

    Attributes:
        id: of their generation; a memory names the bases it belongs to by it.
        schema, problem: what they read, and what they learned.
        specs, bases: how to fit them anew, and the fitted models.
        n_rows: how many rows trained them.
        n_forgotten: of how many of these it is not known any more which they were.
        weights: of each in the mean that is the base to beat; without any, that is the first.
        is_distilled: whether they learned what a model predicts, and not targets.
    """

    id: str
    schema: Schema
    problem: Problem
    specs: tuple[BaseSpec, ...]
    bases: tuple[Base, ...]
    n_rows: int
    n_forgotten: int = 0
    weights: tuple[float, ...] = ()
    is_distilled: bool = False

    @property
    def is_thread_safe(self) -> bool:
        """Whether several threads may ask them at the same time."""
        return all(base.is_thread_safe for base in self.bases)


class StoredModel(NamedTuple):
    """A model as it lies in its directory.

    Attributes:
        base: the bases.
        resmem: the model; its memories have contents if it was loaded for a change.
        objective: the metric that was chosen by.
        folds: what memory.json says of the folds.
        id: of the memories' generation; "" of a model that was never stored.
        history: how the memory came about, as memory.json says it.
        kept: the numbers of the changes that made the memories that undo can bring back.
    """

    base: StoredBase
    resmem: ResMem
    objective: str
    folds: Mapping[str, Any]
    id: str = ""
    history: Sequence[Entry] = ()
    kept: frozenset[int] = frozenset()

    @classmethod
    def of_base(cls, base: StoredBase) -> StoredModel:
        """Return the model without memory, which predicts by the base alone."""
        resmem = ResMem(base.bases, (), base_weights=base.weights, base_share=1.0)
        return cls(base, resmem, metrics.objectives(base.problem.is_regression)[0], {})
