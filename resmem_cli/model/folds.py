"""The folds that settings are chosen by: in each, the whole procedure on some rows, asked about the others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker

import joblib
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from resmem_cli.model import bases, kernel, representation
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.memory import Cells, GraphOptions, build_index

# Above this many rows one split of a subsample replaces the folds.
MOST_FOLDED_ROWS = 200_000
MOST_SPLIT_ROWS = 125_000  # 100,000 of them remembered, 25,000 asked
_SPLIT_SHARE = 5
_PARALLEL_FROM_ROWS = 4_000  # below, starting worker processes costs more than it saves
_FOLD_EF = 128  # wide enough for the comparison of settings; only the final graph's recall is measured


@dataclass(frozen=True)
class Rows:
    """What selection may look at.

    Attributes:
        X, y, weight: [n, d] encoded rows, [n] targets, [n] positive weights or None.
        is_new: [n] whether the base was fitted without the row.
    """

    X: Floats
    y: Floats
    weight: Floats | None
    is_new: NDArray[np.bool_]

    def take(self, rows: Integers) -> Rows:
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.X[rows], self.y[rows], weight, self.is_new[rows])


@dataclass(frozen=True)
class View:
    """A fold's neighbours in one representation: [q, k] distances, [q, k] cells; per cell its count and means."""

    distances: Floats
    cells: Integers
    counts: Floats
    targets: Floats
    predictions: Floats


@dataclass(frozen=True)
class Fold:
    """A fold's held-out rows: [q] targets and weights, [q, outputs] base predictions, a view per representation."""

    y: Floats
    weight: Floats
    predictions: Floats
    views: dict[str, View]

    def take(self, rows: Integers) -> Fold:
        views = {
            name: replace(view, distances=view.distances[rows], cells=view.cells[rows])
            for name, view in self.views.items()
        }
        return Fold(self.y[rows], self.weight[rows], self.predictions[rows], views)


@dataclass(frozen=True)
class Plan:
    """What every fold does.

    Attributes:
        spec, problem: the base that each fold fits anew,
        fixed: or the one base that all folds share, its new rows being the queries.
        representations: the names of those to search in.
        n_neighbors: the largest k that will be asked for.
        graph: how a fold's graph is built.
    """

    spec: BaseSpec
    problem: Problem
    fixed: Base | None
    representations: tuple[str, ...]
    n_neighbors: int
    graph: GraphOptions


def has_enough_new(is_new: NDArray[np.bool_]) -> bool:
    """Whether the rows that the base has not seen suffice as queries, so that it need not be fitted anew."""
    return bool(is_new.sum() >= max(200, len(is_new) // 10))


def run_folds(rows: Rows, plan: Plan, n_folds: int, *, threads: int, report: Callable[[str], None]) -> list[Fold]:
    """Run the plan on every fold; of very many rows, on one split of a subsample, its queries in `n_folds` groups.

    The folds run side by side, one thread each: that is faster than one after the other with all threads, and the
    outcome does not depend on their number.
    """
    rng = np.random.default_rng(plan.problem.seed)
    if len(rows.y) > MOST_FOLDED_ROWS:
        rows = rows.take(rng.permutation(len(rows.y))[:MOST_SPLIT_ROWS])
        splits = [next(_splits(rows.y, plan.problem, _SPLIT_SHARE, rng))]
    else:
        splits = list(_splits(rows.y, plan.problem, n_folds, rng))
    if plan.fixed is not None:
        splits = [split for split in splits if rows.is_new[split[1]].any()]
    jobs = min(threads, len(splits)) if len(rows.y) >= _PARALLEL_FROM_ROWS else 1
    backend = {"backend": "loky", "inner_max_num_threads": 1} if jobs > 1 else {"backend": "sequential"}
    report(f"fold 1 of {len(splits)}")
    folds: list[Fold] = []
    with joblib.parallel_config(**backend, n_jobs=jobs):
        with _interrupts_held_back() if jobs > 1 else nullcontext():
            running = joblib.Parallel(return_as="generator")(
                joblib.delayed(_run_fold)(rows, plan, *split) for split in splits
            )
        for fold in running:
            folds.append(fold)
            report(f"fold {min(len(folds) + 1, len(splits))} of {len(splits)}")
    if len(folds) > 1:
        return folds
    groups = np.array_split(rng.permutation(len(folds[0].y)), n_folds)
    return [folds[0].take(np.sort(group)) for group in groups]


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start worker processes that never hear of Ctrl-C: it is this process that ends them then, without tracebacks."""
    resource_tracker.ensure_running()  # which would let the signal through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _splits(y: Floats, problem: Problem, n_folds: int, rng: np.random.Generator) -> Iterator[tuple[Integers, Integers]]:
    """Yield (training rows, held-out rows) per fold, the classes spread evenly over the folds."""
    shuffled = rng.permutation(len(y))
    if not problem.is_regression:
        shuffled = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold_of = np.empty(len(y), dtype=np.int64)
    fold_of[shuffled] = np.arange(len(y)) % n_folds
    for fold in range(n_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _run_fold(rows: Rows, plan: Plan, remembered: Integers, asked: Integers) -> Fold:
    import sklearn.ensemble  # noqa: F401 - before the limit, which holds for what is loaded

    with threadpoolctl.threadpool_limits(1):
        training, queries = rows.take(remembered), rows.take(asked)
        if plan.fixed is None:
            estimator = bases.ESTIMATORS[plan.spec.estimator]
            base = estimator.fit(training.X, training.y, training.weight, plan.problem, plan.spec.params)
        else:
            base = plan.fixed
            queries = queries.take(np.flatnonzero(queries.is_new))
        predictions = base.predict(training.X)
        views = {}
        for name in plan.representations:
            space = representation.fit(name, training.X, plan.problem.n_categories)
            cells = Cells.group(space.represent(training.X, base), training.weight)
            distances, found = _neighbors(cells, space.represent(queries.X, base), plan)
            # What is left of a prediction of 0 is the target itself: for classes, its one-hot row.
            targets = kernel.residuals(training.y, np.zeros_like(predictions))
            means = (cells.mean(values, training.weight) for values in (targets, predictions))
            views[name] = View(distances, found, cells.counts, *means)
        weight = np.ones(len(queries.y)) if queries.weight is None else queries.weight
        return Fold(queries.y, weight, base.predict(queries.X), views)


def _neighbors(cells: Cells, queries: Singles, plan: Plan) -> tuple[Floats, Integers]:
    k = min(plan.n_neighbors, len(cells.points))
    graph = replace(plan.graph, ef=plan.graph.ef or max(_FOLD_EF, k))
    return build_index(cells.points, k, graph, plan.problem.seed, 1).search(queries, k, 1)
