"""fit-base: learn the schema and one or several base models from training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.relations import Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.model import bases, cost, metrics
from resmem_cli.model.arrays import MOST_DENSE
from resmem_cli.model.choosing.bases import compare, fitted
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.store import locking, ownership, writing
from resmem_cli.store.rows import TrainedRows, category_codes
from resmem_cli.store.stored import StoredBase, problem_of
from resmem_cli.workflow import base_recipes, belonging, streaming, thread_limit
from resmem_cli.workflow.base_recipes import AUTO, BAGGED
from resmem_cli.workflow.inputs import Input, Report, silent

_MOST_LISTED = 5  # columns in one note


@dataclass(frozen=True)
class BaseOptions:
    """Which bases to fit: names separated by commas, or "auto"; parameters go to every base that has them.

    Of more rows than a `sample` has, they are fitted on a uniform sample of so many, and no others are held.
    """

    estimator: str = AUTO
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 0
    sample: int | None = None


@dataclass(frozen=True)
class FittedBase:
    """What was fitted, and what the user should know.

    Attributes:
        schema: of the rows.
        estimators: their names, the best first.
        objective, held_out: of several bases, the metric that orders them, and its value for each on rows that it had
            not seen, `n_held_out` of them.
        weights: of each in their mean, which is the base to beat; empty where nothing was compared.
        held_out_mean: the metric of that mean on the same rows; None where nothing was compared.
        n_rows: how many rows each was fitted on.
        notes: sentences on what was found in the data.
    """

    schema: Schema
    estimators: tuple[str, ...]
    objective: str
    held_out: tuple[float, ...]
    n_held_out: int
    n_rows: int
    notes: tuple[str, ...]
    weights: tuple[float, ...] = ()
    held_out_mean: float | None = None


def fit_base(
    source: Input, roles: Roles, model: Path, options: BaseOptions, report: Report = silent, *, wait: bool = False
) -> FittedBase:
    """Fit bases on labelled rows and store them, the best first; what the directory held before is replaced.

    Raises:
        DataError: the rows cannot be read or learned from.
        OutputError: the directory cannot be written, or another writer is at work and it is not to `wait`.
        UsageError: the roles, an estimator or a parameter are wrong, or the directory is not a model's.
    """
    ownership.refuse_foreign(model)
    streaming.refuse_sample_in_time(options.sample, roles.time_column)
    base_recipes.names_of(options.estimator)  # a wrong one is told before anything is read
    with locking.alone(model, wait=wait, create=True), thread_limit.limited(options.threads) as threads:
        report("reading")
        parts, notes = _read(source, roles, options)
        stored, rows, summary = fit(parts, roles, options, threads=threads, report=report)
        report("writing")
        writing.save_base(model, stored, rows)
    return replace(summary, notes=(*notes, *summary.notes))


def _read(source: Input, roles: Roles, options: BaseOptions) -> tuple[list[Rows], tuple[str, ...]]:
    """Return the rows to fit, and what is to be said of those that are not."""
    if options.sample is None:
        return source.read_all(), ()
    # Totals end the input: of the last row of a sample nobody could tell that it holds them.
    checked = partial(inference.without_totals, roles=roles)
    drawn = source.read_sample(options.sample, options.seed, roles.group_column, checked)
    note = f"the base is fitted on a sample of {len(drawn):,} of {drawn.n_rows:,} rows"
    return drawn.parts, () if len(drawn) == drawn.n_rows else (note, *drawn.notes)


def fit(
    parts: Sequence[Rows], roles: Roles, options: BaseOptions, *, threads: int = 1, report: Report = silent
) -> tuple[StoredBase, TrainedRows, FittedBase]:
    """Learn the schema of labelled rows and fit bases, the best first.

    Returns:
        What is to be stored of the bases and of their rows, and what the user should know.

    Raises:
        DataError, UsageError: as `fit_base`.
    """
    names = base_recipes.names_of(options.estimator)
    report("inferring the schema")
    learned = inference.learn(parts, roles)
    schema, table = learned.schema, learned.rows
    X, _ = encoding.encode(table, schema)
    y = encoding.encode_target(table, schema)
    relations = Relations.of(table, schema)
    related = relations.numbered()
    rows = LabelledRows(
        X,
        y,
        encoding.encode_weight(table, schema),
        np.zeros(len(y), dtype=np.bool_),
        groups=related.groups,
        times=related.times,
    )
    problem = problem_of(schema, options.seed)
    base_recipes.refuse_other_tasks(names, schema)
    base_recipes.refuse_negative(names, y, f"'{schema.target.name}'")
    offered = base_recipes.recipes_of(names, options.params, problem, y)
    variants = [base_recipes.variants_of(recipe, y, names) for recipe in offered]
    compared = compare(offered, variants, rows, threads=threads, report=report)
    recipes = compared.recipes
    models = fitted(recipes, rows, threads=threads, report=report)
    specs = tuple(recipe.spec for recipe in recipes)
    stored = StoredBase("", schema, problem, specs, tuple(models), len(y), weights=compared.weights)
    ids = encoding.as_ids(table, schema) if schema.id_column is not None else None
    objective = metrics.objectives(problem.is_regression)[0]
    summary = FittedBase(
        schema=schema,
        estimators=tuple(spec.estimator for spec in specs),
        objective=objective,
        held_out=tuple(metrics.as_metric(objective, loss) for loss in compared.losses),
        n_held_out=compared.n_held_out,
        weights=compared.weights,
        held_out_mean=None if compared.mean_loss is None else metrics.as_metric(objective, compared.mean_loss),
        n_rows=len(y),
        notes=(
            *learned.notes,
            *related.notes,
            *belonging.copies(X, y, problem, schema),
            *_encoded(schema, recipes),
            *_left_out(names, recipes, options.params, bases.size_of(problem, len(y))),
        ),
    )
    trained = TrainedRows(encoding.hash_rows(X, y), ids, category_codes(X, schema), relations.groups, relations.times)
    return stored, trained, summary


def _encoded(schema: Schema, recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Return what to say of categories of many values: which bases are told the target's mean of each."""
    columns = [f"'{column.name}' ({len(column.levels):,} values)" for column in schema.columns if column.levels]
    if not columns:
        return ()
    told = [recipe.spec.estimator for recipe in recipes if recipe.spec.params.get(bases.TARGET_ENCODING)]
    listed = ", ".join(columns[:_MOST_LISTED]) + (
        f" and {len(columns) - _MOST_LISTED} more" * (len(columns) > _MOST_LISTED)
    )
    which = f"used by {', '.join(told)}" if told else "used by no base"
    return (f"target encoding of {listed} is {which}",)


def _left_out(
    names: Sequence[str], recipes: Sequence[Recipe], params: Mapping[str, Any], size: cost.Size
) -> tuple[str, ...]:
    """Return what to say of bases that were left out, or not fitted as often as of few classes and columns."""
    if AUTO in names and size.n_outputs > MOST_DENSE:
        return (
            f"{size.n_outputs:,} classes are many: {AUTO} fits a linear discriminant in closed form, and leaves out "
            "boosting and logistic regression, which take a step for every class; --estimator names them nevertheless",
        )
    if not size.is_wide:
        return ()
    is_boosted = any(recipe.spec.estimator in BAGGED for recipe in recipes)
    what = f"{size.n_columns:,} columns and {size.n_rows:,} rows"
    if AUTO in names and not is_boosted and not cost.can_boost(size):
        minutes = cost.boosting_seconds(size) / 60
        return (
            f"boosting was left out: with {what} each of several fits may take {minutes:.0f} minutes "
            "(--estimator boosting,linear fits it nevertheless)",
        )
    if is_boosted and "bags" not in params and cost.n_bags(size) == 1:
        return (f"boosting was fitted once instead of three times, because of {what} (--param bags=3 for three)",)
    return ()
