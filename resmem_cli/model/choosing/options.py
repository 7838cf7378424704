"""What a user can ask of a memory, and what choosing may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resmem_cli.errors import UsageError
from resmem_cli.model import metrics
from resmem_cli.model.arrays import MOST_DENSE
from resmem_cli.model.bases import Problem
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.residuals import N_LARGEST
from resmem_cli.model.spaces import encoder
from resmem_cli.model.spaces.learning import Schedule
from resmem_cli.model.spaces.training import ResidualKind


@dataclass(frozen=True)
class Effort:
    """What choosing may cost.

    Of the bases that are neither constant nor take long only the first and the last have encoders, unless the user asks
    for them: those on bases between are no gain for the mean.

    Attributes:
        encoders: the kinds that are trained on the constant base, or on those two if there is none.
        beside_constant: the kinds that are trained on those two beside it.
        schedule: of each training, at `_ROWS_OF_STEPS` rows.
        most_members: how many corrected models may share the prediction.
    """

    encoders: tuple[encoder.Kind, ...]
    beside_constant: tuple[encoder.Kind, ...]
    schedule: Schedule
    most_members: int


EFFORTS: Mapping[str, Effort] = {
    "quick": Effort((), (), Schedule(500), 4),
    "default": Effort(("mlp", "periodic"), ("mlp",), Schedule(500), 6),
    "high": Effort(("mlp", "periodic"), ("mlp", "periodic"), Schedule(1_000, density=2), 6),
}
# Steps grow as the root of the rows, within these shares of an effort's.
_ROWS_OF_STEPS, _LEAST_SHARE_OF_STEPS, _MOST_SHARE_OF_STEPS = 20_000, 0.25, 1.5


@dataclass(frozen=True)
class MemoryOptions:
    """How to remember; what is None is chosen by the folds.

    Attributes:
        n_neighbors, bandwidth, shrinkage, temperature: the settings of `kernel.Settings`.
        is_relative: whether `bandwidth` is a fraction of the distance to the k-th neighbour.
        space: "features", "sensitivity", "model", "column:NAME" or "learned".
        encoder: of a learned space, one of `encoder.KINDS`.
        n_steps: how long an encoder is trained; None leaves it to `effort`.
        residuals: one of `training.RESIDUAL_KINDS`; None tries cross-fitted ones where a base overfits.
        n_members: how many corrected models may share the prediction; None leaves it to `effort`.
        objective: one of `metrics.objectives`; None is the task's default.
        effort: one of `EFFORTS`.
        n_folds: at least 2; or 0 to choose and measure nothing, and then every setting must be given.
        graph: how the search graphs are built.
        most_cells: how many cells a memory may have; None for any number.
        threads: how many may be used; 0 for one per core.
        most_dense: of more classes, residuals hold only some, and nothing is trained unless the user asks for it.
    """

    n_neighbors: int | None = None
    bandwidth: float | None = None
    is_relative: bool = True
    shrinkage: float | None = None
    temperature: float | None = None
    space: str | None = None
    encoder: encoder.Kind | None = None
    n_steps: int | None = None
    residuals: ResidualKind | None = None
    n_members: int | None = None
    objective: str | None = None
    effort: str = "default"
    n_folds: int = 5
    graph: GraphOptions = field(default_factory=GraphOptions)
    most_cells: int | None = None
    threads: int = 0
    most_dense: int = MOST_DENSE

    def n_largest(self, problem: Problem) -> int | None:
        """Return how many classes a residual holds beside the row's own; None if it holds all.

        Encoders and cross-fitted residuals, which the user may ask for, need the probabilities of all classes.
        """
        needs_all = self.space == "learned" or self.encoder is not None or self.residuals == "cross-fitted"
        return None if problem.n_classes <= self.most_dense or needs_all else N_LARGEST


def objective(problem: Problem, options: MemoryOptions) -> str:
    """Return the metric that the folds choose by; UsageError if it is none of the task."""
    possible = metrics.objectives(problem.is_regression)
    if options.objective is None:
        return possible[0]
    if options.objective not in possible:
        task = "regression" if problem.is_regression else "classification"
        raise UsageError(
            f"{options.objective} is no metric of a {task}", f"choose --metric from: {', '.join(possible)}"
        )
    return options.objective


def schedule(options: MemoryOptions, n_rows: int, n_outputs: int) -> Schedule:
    """Return the schedule of the training of an encoder."""
    usual = EFFORTS[options.effort].schedule
    share = min(_MOST_SHARE_OF_STEPS, max(_LEAST_SHARE_OF_STEPS, (n_rows / _ROWS_OF_STEPS) ** 0.5))
    share *= encoder.times_as_long(n_outputs)
    return usual._replace(n_steps=options.n_steps or round(usual.n_steps * share))
