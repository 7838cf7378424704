"""Which bases fit-base fits: from what the user names to recipes, and to the settings that are compared of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from resmem_cli.data.schema import Schema
from resmem_cli.errors import UsageError, did_you_mean
from resmem_cli.model import bases, cost
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.bases.boosters.trees import Trees
from resmem_cli.model.bases.protocol import WithVariants
from resmem_cli.model.rows import Recipe

AUTO, POISSON, DISCRIMINANT = "auto", "poisson", "discriminant"
BAGGED = ("boosting", POISSON)
# Of more rows a mean of several models of CatBoost gains less, and takes long to fit.
_MOST_ROWS_OF_BAGS = 20_000
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


def names_of(estimator: str) -> tuple[str, ...]:
    """Return the names in an --estimator; UsageError if there is no such one."""
    names = tuple(name.strip() for name in estimator.split(","))
    for name in names:
        if name not in (AUTO, *bases.ESTIMATORS):
            known = (AUTO, *bases.ESTIMATORS)
            choose = f"choose from: {', '.join(known)}; several are separated by commas"
            raise UsageError(f"there is no estimator '{name}'", did_you_mean([name], known, choose, _ALIASES))
    return names


def refuse_other_tasks(names: Sequence[str], schema: Schema) -> None:
    """Refuse a base of classes for numbers, and one of numbers for classes."""
    if DISCRIMINANT in names and not schema.target.classes:
        raise UsageError(
            f"the estimator {DISCRIMINANT} is for classification, and '{schema.target.name}' has numbers", _ANOTHER
        )
    if POISSON in names and schema.target.classes:
        raise UsageError(f"the estimator {POISSON} is for regression, and '{schema.target.name}' has classes", _ANOTHER)


def refuse_negative(names: Sequence[str], y: Floats, what: str) -> None:
    """Refuse a base of numbers that are never negative for [n] others; `what` they are."""
    if POISSON in names and y.min() < 0:
        raise UsageError(
            f"the estimator {POISSON} is for targets that are never negative, and the minimum of {what} is "
            f"{y.min():.6g}",
            _ANOTHER,
        )


def recipes_of(names: Sequence[str], params: Mapping[str, Any], problem: Problem, y: Floats) -> list[Recipe]:
    """Return how the bases of these names come about, of "auto" those that suit the problem, for [n] targets.

    Raises:
        UsageError: a parameter belongs to none of them.
    """
    estimators = dict.fromkeys(each for name in names for each in _expanded(name, problem, y))
    size = bases.size_of(problem, len(y))
    return [Recipe(_affordable(spec, problem, size), problem) for spec in specs_of(tuple(estimators), params, problem)]


def specs_of(names: Sequence[str], params: Mapping[str, Any], problem: Problem) -> list[BaseSpec]:
    """Return how bases of these names are fitted, each with the parameters that it has.

    Raises:
        UsageError: a parameter belongs to none of them.
    """
    known = {name: bases.parameters(name, problem) for name in names}
    for param in params:
        if not any(param in offered for offered in known.values()):
            every = sorted({param for offered in known.values() for param in offered})
            whose = f"the estimator {names[0]} has no" if len(names) == 1 else f"none of {', '.join(names)} has a"
            choose = f"choose from: {', '.join(every)}" if every else "leave --param out: it has none"
            raise UsageError(f"{whose} parameter '{param}'", did_you_mean([param], every, choose))
    return [BaseSpec(name, {param: params[param] for param in params if param in known[name]}) for name in names]


def variants_of(recipe: Recipe, y: Floats, names: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the settings to choose from: those that the user has not given, and of named bases no other trees."""
    is_named = recipe.spec.estimator in names
    return _with_encoding(recipe, [{}] if is_named else _variants(recipe, y))


def _expanded(name: str, problem: Problem, y: Floats) -> tuple[str, ...]:
    return bases.automatic(problem, y) if name == AUTO else (name,)


def _affordable(spec: BaseSpec, problem: Problem, size: cost.Size) -> BaseSpec:
    """Say of how many models boosted trees are the mean, now and in every fold, as far as that can be waited for.

    It is said here once, because folds have fewer rows: what they measure is to be what is stored.
    """
    kind = bases.ESTIMATORS[spec.estimator]
    if spec.estimator in BAGGED and size.is_wide:
        usual = int(bases.parameters(spec.estimator, problem)["bags"])
    elif issubclass(kind, Trees) and kind.usual_bags > 1 and size.n_rows <= _MOST_ROWS_OF_BAGS:
        usual = kind.usual_bags
    else:
        return spec
    return replace(spec, params={"bags": min(usual, cost.n_bags(size)), **spec.params})


def _variants(recipe: Recipe, y: Floats) -> list[Mapping[str, Any]]:
    """Return the settings that `auto` chooses from, none of which the user has given."""
    estimator = bases.ESTIMATORS[recipe.spec.estimator]
    found = estimator.variants(recipe.problem, y) if issubclass(estimator, WithVariants) else ()
    return [{}, *(each for each in found if not each.keys() & recipe.spec.params.keys())]


def _with_encoding(recipe: Recipe, variants: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return settings of which all but the first, and that once more, have target encoding, where it is possible."""
    name = bases.TARGET_ENCODING
    if name in recipe.spec.params or not bases.can_encode(recipe.spec.estimator, recipe.problem):
        return list(variants)
    return [variants[0], *({**each, name: True} for each in variants)]
