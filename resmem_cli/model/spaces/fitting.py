"""Fitting several spaces, side by side where several of them are trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resmem_cli.model import spaces
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.spaces import Space, learned
from resmem_cli.model.spaces.training import ResidualKind, Training

Job = tuple[str, Training, ResidualKind]  # the arguments of `spaces.fit`

_LONGEST = learned.name_of("periodic")


def fit_spaces(jobs: Sequence[Job], threads: int) -> list[Space]:
    """Return the fitted space of every job, in their order."""
    needs_training = [spaces.kind_of(name).needs_training for name, _, _ in jobs]
    if sum(needs_training) < 2 or threads == 1:
        return [spaces.fit(*job) for job in jobs]
    # Those that take longest first, so that none of them runs alone at the end.
    order = sorted(np.flatnonzero(needs_training).tolist(), key=lambda i: jobs[i][0] != _LONGEST)
    first = jobs[order[0]][1]
    long = [(name, training.for_one_thread(), residuals) for name, training, residuals in map(jobs.__getitem__, order)]
    first.report("training " + " and ".join(f"{name} on {of.recipe.spec.estimator}" for name, of, _ in long))
    running = side_by_side(spaces.fit, long, n_rows=len(first.rows.y), threads=threads, is_long=True)
    trained = dict(zip(order, running, strict=True))
    return [trained[i] if i in trained else spaces.fit(*job) for i, job in enumerate(jobs)]
