"""distill: fit bases to what a model with memory predicts, and store them as a model without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding, sampling
from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place, is_within
from resmem_cli.data.sampling import Lots, Sample
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import bases, cost, distilling
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.choosing.bases import compare, fitted
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.store import locking, ownership, reading, using, writing
from resmem_cli.store.rows import TrainedRows
from resmem_cli.store.stored import StoredBase, StoredModel
from resmem_cli.workflow import base_recipes, thread_limit
from resmem_cli.workflow.base_recipes import AUTO
from resmem_cli.workflow.inputs import Input, Report, silent

_ELSEWHERE = "name another directory with --student"
_MOST_ROWS = 500_000  # that others are made from
# Targets without noise can be learned by larger trees than those of rows.
_LARGE_TREES = {"max_leaf_nodes": 63, "min_samples_leaf": 5, "max_iter": 2_000, "bags": 1}


@dataclass(frozen=True)
class DistillOptions:
    """Which bases learn: names separated by commas, or "auto"; parameters go to every base that has them."""

    estimator: str = AUTO
    params: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 0


@dataclass(frozen=True)
class Distilled:
    """What was fitted.

    Attributes:
        estimators: the names of the bases, the best first.
        weights: of each in their mean; empty of a single one.
        n_rows: how many rows were given.
        n_made: how many others were made from them.
        notes: sentences on what the user should know.
    """

    estimators: tuple[str, ...]
    weights: tuple[float, ...]
    n_rows: int
    n_made: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "rows": self.n_rows,
            "made_rows": self.n_made,
            "estimators": list(self.estimators),
            "weights": dict(zip(self.estimators, self.weights or (1.0,), strict=True)),
        }


def distill(
    source: Input,
    model: Place,
    student: Path,
    options: DistillOptions,
    report: Report = silent,
    *,
    wait: bool = False,
) -> Distilled:
    """Fit bases to what a model predicts of rows, and of others made from them; the rows need no targets.

    Args:
        source: the rows, such as those that the model was fitted on.
        model: the model.
        student: the directory that the bases are stored in, whose model is replaced.
        options: which bases.
        report: is told what is being done.
        wait: until another writer is done, or refuse to.

    Raises:
        DataError: the rows cannot be read, do not fit the model's schema, or are none.
        ModelError: the model is missing, stale or damaged, or has no memory.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: an estimator or a parameter is wrong, or the directory is no model's, or is the model itself.
    """
    base_recipes.names_of(options.estimator)  # a wrong one is told before anything is read
    _refuse_place(student, model)
    with thread_limit.limited(options.threads) as threads:
        report("loading the model")
        stored, known = reading.load_with_seen(model)
        refuse_columns(stored.base.schema, model)
        with locking.alone(student, wait=wait, create=True):
            report("reading")
            drawn = _read(source, stored.base.schema, stored.base.problem.seed)
            X = np.concatenate([part.X for part in drawn.parts])
            predict = partial(_predict, stored, model, threads)
            base, n_made = fit(X, stored.base, known, predict, options, threads=threads, report=report)
            report("writing")
            writing.save_base(student, base, known)
    sampled = (f"rows are made from a sample of {len(X):,} of {drawn.n_rows:,} rows",) * (len(X) < drawn.n_rows)
    return Distilled(tuple(spec.estimator for spec in base.specs), base.weights, len(X), n_made, sampled)


def fit(
    X: Floats,
    teacher: StoredBase,
    known: TrainedRows,
    predict: Callable[[Floats], Floats],
    options: DistillOptions,
    *,
    threads: int = 1,
    report: Report = silent,
) -> tuple[StoredBase, int]:
    """Fit bases to what a model predicts of [n, d] encoded rows, and of others made from them.

    Args:
        X: the rows.
        teacher: the model's bases.
        known: the rows that the model has seen.
        predict: gives the model's predictions.
        options: which bases.
        threads: how many may be used.
        report: is told what is being done.

    Returns:
        The bases, the best first, and how many rows were made.

    Raises:
        DataError: there are no rows.
        UsageError: an estimator or a parameter is wrong.
    """
    if not len(X):
        raise DataError("there are no rows to learn from", "give some")
    problem = teacher.problem
    recipes = _recipes(teacher.schema, problem, len(X), options)
    report("making rows")
    made, made_from = distilling.with_made_rows(X, teacher.schema.encoded_columns, problem, threads)
    rows = distilling.labelled_by(predict, made, made_from, problem, report)
    return _fitted(recipes, rows, teacher, known, threads=threads, report=report), len(made) - len(X)


def refuse_columns(schema: Schema, model: object) -> None:
    """Refuse a model whose base is columns of the input."""
    if schema.given is not None:
        raise UsageError(
            f"the base of '{model}' is columns of the input, which a row made from others does not have",
            "distill a model whose base resmem fits or imports",
        )


def _refuse_place(student: Path, model: Place) -> None:
    """Refuse to write a student over, or into, the model, or in the place of a base that a memory belongs to."""
    if is_within(student, model):
        raise UsageError(f"'{student}' is the model that is distilled, or lies in it", _ELSEWHERE)
    ownership.refuse_foreign(student, "--student")
    refuse_memory(student)


def refuse_memory(student: Path, hint: str = _ELSEWHERE) -> None:
    """Refuse a directory whose model has a memory, which a student would take the place of."""
    if student.is_dir() and reading.has_memory(student):
        raise UsageError(f"'{student}' is a model with a memory, which a student has not", hint)


@dataclass(frozen=True)
class _Encoded:
    """Some encoded rows."""

    X: Floats

    def __len__(self) -> int:
        return len(self.X)

    def take(self, positions: Any, /) -> _Encoded:
        return _Encoded(self.X[positions])


def _read(source: Input, schema: Schema, seed: int) -> Sample[_Encoded]:
    """Return the encoded rows, of very many a sample."""

    def batches() -> Iterator[_Encoded]:
        for batch in source.batches(columns=frozenset(schema.read_columns), schema=schema):
            yield _Encoded(encoding.encode(batch, schema)[0])

    return sampling.draw(batches(), _MOST_ROWS, Lots(seed, sampling.FOR_BASE))


def _predict(stored: StoredModel, model: Place, threads: int, X: Floats) -> Floats:
    with using.used(model):
        return stored.resmem.predict(X, threads=threads).resmem


def _recipes(schema: Schema, problem: Problem, n_rows: int, options: DistillOptions) -> list[Recipe]:
    """Return how the students come about: by default large boosted trees or, if these would take long, a network."""
    can_boost = problem.n_classes <= bases.MANY_CLASSES and cost.can_boost(bases.size_of(problem, n_rows))
    automatic = "boosting" if can_boost else "mlp"
    asked = base_recipes.names_of(options.estimator)
    names = tuple(dict.fromkeys(automatic if name == AUTO else name for name in asked))
    base_recipes.refuse_other_tasks(names, schema)
    specs = base_recipes.specs_of(names, options.params, problem)
    return [
        Recipe(replace(each, params={**_LARGE_TREES, **each.params}) if each.estimator == "boosting" else each, problem)
        for each in specs
    ]


def _fitted(
    recipes: Sequence[Recipe],
    rows: LabelledRows,
    teacher: StoredBase,
    known: TrainedRows,
    *,
    threads: int,
    report: Report,
) -> StoredBase:
    """Return bases fitted to made rows, the best first, of which is known what is known of their teacher's."""
    base_recipes.refuse_negative([recipe.spec.estimator for recipe in recipes], rows.y, "the model's predictions")
    compared = compare(recipes, [[{}]] * len(recipes), rows, threads=threads, report=report)
    # Fitted anew, to rows with targets, they would not be what the model predicts.
    specs = tuple(BaseSpec(recipe.spec.estimator, {}, can_refit=False) for recipe in compared.recipes)
    return replace(
        teacher,
        specs=specs,
        bases=tuple(fitted(compared.recipes, rows, threads=threads, report=report)),
        n_rows=len(known.hashes) + teacher.n_forgotten,
        weights=compared.weights,
        is_distilled=True,
    )
