"""Bases that another library has fitted in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resmem_cli.errors import UsageError
from resmem_cli.model.bases import importing
from resmem_cli.store import estimators
from resmem_cli.workflow.adopt_base import FromObject


def from_fitted(model: Any, params: Mapping[str, Any] | None = None) -> FromObject | None:
    """Return a fitted model as the origin of a base; None if it is a name, or a list of names, of bases to fit.

    Args:
        model: a name or names; an estimator or pipeline of scikit-learn's, or a booster of LightGBM, XGBoost or
            CatBoost, also within their estimators for scikit-learn.
        params: of bases to fit, which a fitted one has no use for.

    Raises:
        UsageError: it is nothing of these, is not fitted, or holds what a model directory cannot.
    """
    if isinstance(model, str) or (isinstance(model, (list, tuple)) and all(isinstance(name, str) for name in model)):
        return None
    if params:
        raise UsageError("a fitted base takes no parameters", "leave --param out")
    model = getattr(model, "estimator", model) if type(model).__name__ == "FrozenEstimator" else model
    library = type(model).__module__.split(".")[0]
    if isinstance(model, type):
        raise UsageError(f"the base is the class {model.__name__}", "give a fitted object of it")
    if library in _LIBRARIES:
        try:
            return FromObject(library, _LIBRARIES[library](model))
        except Exception as error:  # each library's own way to say that nothing has been fitted
            raise UsageError(f"the base is not fitted, or cannot be saved ({error})", "fit it first") from error
    if not hasattr(model, "predict"):
        raise UsageError(
            f"a base cannot be a {type(model).__name__}",
            "give a name, a list of names, or a fitted model of scikit-learn, LightGBM, XGBoost or CatBoost",
        )
    # As it will be read from a model directory.
    return FromObject(importing.SKLEARN, estimators.from_foreign(estimators.to_bytes(model), "the base"))


def _of_lightgbm(model: Any) -> bytes:
    booster = model.booster_ if hasattr(type(model), "booster_") else model
    return bytes(booster.model_to_string().encode())


def _of_xgboost(model: Any) -> bytes:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    return bytes(booster.save_raw("ubj"))


def _of_catboost(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return path.read_bytes()


# How each library's models, and its estimators for scikit-learn, become bytes of its own format.
_LIBRARIES: dict[str, Callable[[Any], bytes]] = {
    importing.LIGHTGBM: _of_lightgbm,
    importing.XGBOOST: _of_xgboost,
    importing.CATBOOST: _of_catboost,
}
