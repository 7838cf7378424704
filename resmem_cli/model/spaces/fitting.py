"""Fitting several spaces, side by side where several of them are trained."""

from __future__ import annotations

from collections.abc import Sequence

from resmem_cli.model import spaces
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.spaces import Space
from resmem_cli.model.spaces.training import ResidualKind, Training

Job = tuple[str, Training, ResidualKind]  # the arguments of `spaces.fit`


def fit_spaces(jobs: Sequence[Job], threads: int) -> list[Space]:
    """Return the fitted space of every job, in their order."""
    needs_training = [spaces.kind_of(name).needs_training for name, _, _ in jobs]
    if sum(needs_training) < 2 or threads == 1:
        return [spaces.fit(*job) for job in jobs]
    long = [job for job, trains in zip(jobs, needs_training, strict=True) if trains]
    first = long[0][1]
    alone = [(name, training.for_one_thread(), residuals) for name, training, residuals in long]
    first.report("training " + " and ".join(f"{name} on {of.recipe.spec.estimator}" for name, of, _ in long))
    trained = iter(list(side_by_side(spaces.fit, alone, n_rows=len(first.rows.y), threads=threads, is_long=True)))
    return [next(trained) if trains else spaces.fit(*job) for job, trains in zip(jobs, needs_training, strict=True)]
