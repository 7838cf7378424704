"""fit-base: learn the schema and one or several base models from training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.relations import Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.errors import UsageError, did_you_mean
from resmem_cli.model import bases, cost, metrics
from resmem_cli.model.arrays import MOST_DENSE, Floats
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.bases.linear import BOUNDED
from resmem_cli.model.bases.protocol import WithVariants
from resmem_cli.model.choosing.bases import compare
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.store import locking, ownership, writing
from resmem_cli.store.reading import StoredBase
from resmem_cli.store.rows import TrainedRows, category_codes
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.inputs import Input, Report, silent

AUTO, POISSON, DISCRIMINANT = "auto", "poisson", "discriminant"
_BAGGED = ("boosting", POISSON)
_ANOTHER = "choose another --estimator"
# What else people call the estimators.
_ALIASES = {
    **dict.fromkeys(("lgbm", "lgb", "light", "lightgbmregressor", "lightgbmclassifier"), "lightgbm"),
    **dict.fromkeys(("xgb", "xg", "xgbregressor", "xgbclassifier"), "xgboost"),
    **dict.fromkeys(("cat", "cb", "cbm"), "catboost"),
    **dict.fromkeys(("rf", "randomforest", "random_forest", "random-forest", "extratrees"), "boosting"),
    **dict.fromkeys(
        ("gb", "gbm", "gbdt", "gbrt", "hgb", "histgb", "trees", "tree", "histgradientboosting"), "boosting"
    ),
    **dict.fromkeys(("lr", "ols", "ridge", "lasso", "logit", "logistic", "logreg", "regression"), "linear"),
    **dict.fromkeys(("lda", "lineardiscriminantanalysis", "linear_discriminant"), DISCRIMINANT),
    **dict.fromkeys(("nn", "net", "networks", "neural", "dnn"), "network"),
    **dict.fromkeys(("perceptron", "mlpregressor", "mlpclassifier"), "mlp"),
    **dict.fromkeys(("mean", "dummy", "naive", "none"), "constant"),
}


@dataclass(frozen=True)
class BaseOptions:
    """Which bases to fit: names separated by commas, or "auto"; parameters go to every base that has them."""

    estimator: str = AUTO
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 0


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
    _names(options.estimator)  # a wrong one is told before anything is read
    with locking.alone(model, wait=wait, create=True), thread_limit.limited(options.threads) as threads:
        report("reading")
        parts = source.read_all()
        stored, rows, fitted = fit(parts, roles, options, threads=threads, report=report)
        report("writing")
        writing.save_base(model, stored, rows)
    return fitted


def fit(
    parts: Sequence[Rows], roles: Roles, options: BaseOptions, *, threads: int = 1, report: Report = silent
) -> tuple[StoredBase, TrainedRows, FittedBase]:
    """Learn the schema of labelled rows and fit bases, the best first.

    Returns:
        What is to be stored of the bases and of their rows, and what the user should know.

    Raises:
        DataError, UsageError: as `fit_base`.
    """
    names = _names(options.estimator)
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
    problem = Problem(schema.n_categories, len(schema.target.classes), options.seed, schema.vectors)
    _refuse_other_targets(names, schema, y)
    estimators = dict.fromkeys(each for name in names for each in _expanded(name, problem, y))
    size = bases.size_of(problem, len(y))
    wanted = _specs(tuple(estimators), options.params, problem)
    recipes = [Recipe(_affordable(spec, problem, size), problem) for spec in wanted]
    named = set(names) - {AUTO}
    variants: list[list[Mapping[str, Any]]] = [
        [{}] if recipe.spec.estimator in named else _variants(recipe, y) for recipe in recipes
    ]
    compared = compare(recipes, variants, rows, threads=threads, report=report)
    recipes = [compared.recipes[0], *map(_bounded, compared.recipes[1:])]
    fitted = []
    for recipe in recipes:
        report(f"fitting {recipe.spec.estimator} on {len(y):,} rows")
        fitted.append(recipe.base_for(rows))
    specs = tuple(recipe.spec for recipe in recipes)
    stored = StoredBase("", schema, problem, specs, tuple(fitted), len(y), weights=compared.weights)
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
        notes=(*learned.notes, *related.notes, *_left_out(names, estimators, options.params, size)),
    )
    trained = TrainedRows(encoding.hash_rows(X, y), ids, category_codes(X, schema), relations.groups, relations.times)
    return stored, trained, summary


def _names(estimator: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in estimator.split(","))
    for name in names:
        if name not in (AUTO, *bases.ESTIMATORS):
            known = (AUTO, *bases.ESTIMATORS)
            choose = f"choose from: {', '.join(known)}; several are separated by commas"
            raise UsageError(f"there is no estimator '{name}'", did_you_mean([name], known, choose, _ALIASES))
    return names


def _refuse_other_targets(names: Sequence[str], schema: Schema, y: Floats) -> None:
    """Refuse a base of classes for numbers, and one of numbers that are never negative for others."""
    if DISCRIMINANT in names and not schema.target.classes:
        raise UsageError(
            f"the estimator {DISCRIMINANT} is for classification, and '{schema.target.name}' has numbers", _ANOTHER
        )
    if POISSON not in names:
        return
    if schema.target.classes:
        raise UsageError(f"the estimator {POISSON} is for regression, and '{schema.target.name}' has classes", _ANOTHER)
    if y.min() < 0:
        raise UsageError(
            f"the estimator {POISSON} is for targets that are never negative, and the minimum of "
            f"'{schema.target.name}' is {y.min():.6g}",
            _ANOTHER,
        )


def _expanded(name: str, problem: Problem, y: Floats) -> tuple[str, ...]:
    return bases.automatic(problem, y) if name == AUTO else (name,)


def _specs(names: Sequence[str], params: Mapping[str, Any], problem: Problem) -> list[BaseSpec]:
    """Give every estimator the parameters that it has; one that none has is refused."""
    known = {name: bases.ESTIMATORS[name].parameters(problem) for name in names}
    for param in params:
        if not any(param in offered for offered in known.values()):
            every = sorted({param for offered in known.values() for param in offered})
            whose = f"the estimator {names[0]} has no" if len(names) == 1 else f"none of {', '.join(names)} has a"
            choose = f"choose from: {', '.join(every)}" if every else "leave --param out: it has none"
            raise UsageError(f"{whose} parameter '{param}'", did_you_mean([param], every, choose))
    return [BaseSpec(name, {param: params[param] for param in params if param in known[name]}) for name in names]


def _affordable(spec: BaseSpec, problem: Problem, size: cost.Size) -> BaseSpec:
    """Fit boosted trees of a wide table as often as can be waited for, now and in every fold, if it is not said."""
    if spec.estimator not in _BAGGED or not size.is_wide:
        return spec
    usual = bases.ESTIMATORS[spec.estimator].parameters(problem)["bags"]
    return replace(spec, params={"bags": min(usual, cost.n_bags(size)), **spec.params})


def _variants(recipe: Recipe, y: Floats) -> list[Mapping[str, Any]]:
    """Return the settings that `auto` chooses from, none of which the user has given."""
    estimator = bases.ESTIMATORS[recipe.spec.estimator]
    found = estimator.variants(recipe.problem, y) if issubclass(estimator, WithVariants) else ()
    return [{}, *(each for each in found if not each.keys() & recipe.spec.params.keys())]


def _left_out(
    names: Sequence[str], fitted: Iterable[str], params: Mapping[str, Any], size: cost.Size
) -> tuple[str, ...]:
    """Return what to say of bases that were left out, or not fitted as often as of few classes and columns."""
    if AUTO in names and size.n_outputs > MOST_DENSE:
        return (
            f"{size.n_outputs:,} classes are many: {AUTO} fits a linear discriminant in closed form, and leaves out "
            "boosting and logistic regression, which take a step for every class; --estimator names them nevertheless",
        )
    if not size.is_wide:
        return ()
    is_boosted = bool(set(_BAGGED) & set(fitted))
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


def _bounded(recipe: Recipe) -> Recipe:
    """Hold a line that is not the base to beat within the numbers that it was fitted to, if it is not said otherwise.

    Where one column of a row is far out, a line is too, and its corrected model would spoil the mean of all.
    """
    offered = BOUNDED in bases.ESTIMATORS[recipe.spec.estimator].parameters(recipe.problem)
    params = {BOUNDED: True, **recipe.spec.params} if offered else recipe.spec.params
    return replace(recipe, spec=replace(recipe.spec, params=params))
