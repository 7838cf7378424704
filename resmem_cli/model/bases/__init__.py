"""The base models: one protocol, one file each, and the registry that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from resmem_cli.model import cost
from resmem_cli.model.arrays import MOST_DENSE, Arrays, Floats
from resmem_cli.model.bases.boosted import MANY_CLASSES
from resmem_cli.model.bases.protocol import EXTRAS, Base, BaseKind, BaseSpec, Importable, Problem, is_installed
from resmem_cli.model.bases.with_levels import TARGET_ENCODING, WithLevels, has_levels
from resmem_cli.model.registry import Registry

# Those that can be fitted, by the name that the user gives.
ESTIMATORS = Registry[type[BaseKind]](
    __name__,
    {
        "boosting": ".boosting:Boosting",
        "poisson": ".poisson:Poisson",
        "lightgbm": ".boosters.lightgbm:Lightgbm",
        "xgboost": ".boosters.xgboost:Xgboost",
        "catboost": ".boosters.catboost:Catboost",
        "linear": ".linear:Linear",
        "discriminant": ".discriminant:Discriminant",
        "mlp": ".mlp:Mlp",
        "network": ".network:Networks",
        "constant": ".constant:Constant",
    },
)
# And those that come from elsewhere.
IMPORTABLE = Registry[type[Importable]](
    __name__,
    {
        "lightgbm": ".boosters.lightgbm:Lightgbm",
        "xgboost": ".boosters.xgboost:Xgboost",
        "catboost": ".boosters.catboost:Catboost",
        "onnx": ".onnx.model:Onnx",
        "sklearn": ".sklearn_model:SklearnModel",
    },
)
COLUMNS = "columns"
CONSTANT = "constant"
KINDS = Registry[type[BaseKind]](__name__, {**ESTIMATORS.places, **IMPORTABLE.places, COLUMNS: ".columns:Columns"})
_ROWS_OF_NETWORK = 300  # fewer rows say too little to a network


def installed(package: str) -> str:
    """Return the version of an optional library that is installed, or how to install it."""
    if is_installed(package):
        return f"yes, {metadata.version(package)}"
    return f"no: pip install 'resmem-cli[{EXTRAS.get(package, package)}]'"


def automatic(problem: Problem, y: Floats, *, is_there: Callable[[str], bool] = is_installed) -> tuple[str, ...]:
    """Return the bases to fit to [n] targets where the user named none, by which libraries are there.

    Strong ones, one that leaves much for the memory to explain, and one that leaves everything: their corrected models
    err differently. Of many classes no strong ones: trees of every class take minutes per fit, and a memory does better
    without them. Of very many one in closed form. Of many columns a network, too, and boosted trees only if they do not
    take too long. CatBoost, whose symmetric trees err differently from the others, takes part where it is installed.
    """
    if problem.n_classes > MOST_DENSE:
        return ("discriminant",)
    if problem.n_classes > MANY_CLASSES:
        return ("linear", CONSTANT)
    size = size_of(problem, len(y))
    if size.is_wide:
        return (*(("boosting",) if cost.can_boost(size) else ()), "mlp", "linear", CONSTANT)
    is_never_negative = problem.is_regression and y.min() >= 0
    found = {"poisson": is_never_negative, "catboost": is_there("catboost"), "network": len(y) >= _ROWS_OF_NETWORK}
    return ("boosting", *(name for name, takes_part in found.items() if takes_part), "linear", CONSTANT)


def parameters(estimator: str, problem: Problem) -> Mapping[str, Any]:
    """Return the names and defaults of what can be set of an estimator, for a problem."""
    offered = ESTIMATORS[estimator].parameters(problem)
    return {**offered, TARGET_ENCODING: False} if can_encode(estimator, problem) else offered


def can_encode(estimator: str, problem: Problem) -> bool:
    """Whether categories of many values can be told to an estimator as means of the target."""
    return bool(problem.levels) and ESTIMATORS[estimator].reads_features


def fit(spec: BaseSpec, X: Floats, y: Floats, weight: Floats | None, problem: Problem) -> Base:
    """Fit a base to encoded rows; the arguments and errors are those of `BaseKind.fit`."""
    kind = ESTIMATORS[spec.estimator]
    if problem.levels:
        return WithLevels.fit(kind, X, y, weight, problem=problem, params=spec.params)
    return kind.fit(X, y, weight, problem, spec.params)


def restore(estimator: str, arrays: Arrays, stored: Any) -> Base:
    """Return the base that was stored; the arguments and errors are those of `BaseKind.restore`."""
    kind = KINDS[estimator]
    return WithLevels.restore_as(kind, arrays, stored) if has_levels(arrays) else kind.restore(arrays, stored)


def size_of(problem: Problem, n_rows: int) -> cost.Size:
    """Return how large a table of so many rows is."""
    return cost.Size(n_rows, len(problem.n_categories), problem.n_outputs)


__all__ = [
    "COLUMNS",
    "CONSTANT",
    "ESTIMATORS",
    "IMPORTABLE",
    "KINDS",
    "MANY_CLASSES",
    "TARGET_ENCODING",
    "Base",
    "BaseKind",
    "BaseSpec",
    "Problem",
    "automatic",
    "can_encode",
    "fit",
    "installed",
    "is_installed",
    "parameters",
    "restore",
    "size_of",
]
