"""What `resmem fit-base` prints of fitted and imported bases, and the list of estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.workflow.fit_base import FittedBase

# Those that can be fitted, for completion and help, which must not load them.
ESTIMATORS = {
    "auto": "boosting,network,linear,constant with settings compared, and their mean; also catboost if installed, and "
    "poisson if no target is negative; of more than 10 classes linear,constant, of more than 100 discriminant alone",
    "boosting": "scikit-learn's histogram gradient boosting, the mean of 3 with early stopping (--param bags=1 for 1)",
    "poisson": "boosting with Poisson loss and log link, for targets that are never negative (--param loss=gamma)",
    "lightgbm": "LightGBM with early stopping",
    "xgboost": "XGBoost with early stopping",
    "catboost": "CatBoost, of up to 20,000 rows the mean of 3, with early stopping (--param bags=1 for 1)",
    "linear": "ridge or logistic regression",
    "discriminant": "linear discriminant analysis, for very many classes",
    "mlp": "scikit-learn's neural network with early stopping",
    "network": "small neural networks with periodic features, the mean of 3 with early stopping",
    "constant": "the mean or the class frequencies",
}
IMPORTED = {
    "onnx": "a neural network or pipeline exported to ONNX (--import)",
    "sklearn": "a scikit-learn estimator or pipeline (--import)",
}


def list_estimators() -> None:
    """Print what can be fitted or imported, and how to install what is not there."""
    from resmem_cli.model import bases

    rows = []
    for name, what in (ESTIMATORS | IMPORTED).items():
        package = None if name == "auto" else bases.KINDS[name].package
        rows.append((name, what, "yes" if package is None else bases.installed(package)))
    console.table(("estimator", "what it is", "installed"), rows, n_left=3, text=1)


def describe(fitted: FittedBase, model: Path, *, is_adopted: bool, quiet: bool) -> None:
    schema = fitted.schema
    console.say(*(f"note: {note}" for note in fitted.notes), quiet=quiet)
    kinds = ", ".join(
        f"{sum(column.kind == kind for column in schema.columns)} {console.adjective(kind)}"
        for kind in dict.fromkeys(column.kind for column in schema.columns)
    )
    if fitted.held_out:
        compared = ", ".join(
            f"{name} {value:.5g}" for name, value in zip(fitted.estimators, fitted.held_out, strict=True)
        )
        console.say(f"{fitted.objective} on {fitted.n_held_out:,} held-out rows: {compared}", quiet=quiet)
    if sum(weight > 0 for weight in fitted.weights) > 1 and fitted.held_out_mean is not None:
        mixed = ", ".join(
            f"{name} {100 * weight:.3g} %"
            for name, weight in zip(fitted.estimators, fitted.weights, strict=True)
            if weight > 0
        )
        console.say(f"the base is the mean of {mixed}: {fitted.objective} {fitted.held_out_mean:.5g}", quiet=quiet)
    what = f" of {len(schema.target.classes)} classes" if schema.target.classes else ""
    console.say(
        f"{_how(fitted.estimators, is_adopted)} {fitted.n_rows:,} rows and {len(schema.columns)} features "
        f"({kinds}): {schema.target.task}{what} of '{schema.target.name}' -> {model}/base.json",
        quiet=quiet,
    )


def _how(estimators: Sequence[str], is_adopted: bool) -> str:
    if not is_adopted:
        *others, last = estimators
        return f"fitted {', '.join(others)} and {last} on" if others else f"fitted {last} on"
    if estimators[0] == "columns":
        return "took the prediction columns as the base, with the schema of"
    return f"imported the {estimators[0]} model as the base, with the schema of"


def as_json(fitted: FittedBase) -> dict[str, object]:
    schema = fitted.schema
    return {
        "rows": fitted.n_rows,
        "estimators": list(fitted.estimators),
        "held_out": dict(zip(fitted.estimators, fitted.held_out, strict=False)),
        "weights": dict(zip(fitted.estimators, fitted.weights, strict=False)),
        "held_out_mean": fitted.held_out_mean,
        "task": schema.target.task.value,
        "classes": list(schema.target.classes),
        "features": {column.name: column.kind.value for column in schema.columns},
        "notes": list(fitted.notes),
    }
