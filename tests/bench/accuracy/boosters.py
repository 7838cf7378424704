"""Rivals that boost trees: LightGBM, XGBoost and CatBoost, by their defaults and stopped by the validation rows.

LightGBM and CatBoost also about as TabArena runs their defaults: bags of eight, each stopped by its held-out eighth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from resmem_cli.data.kinds import Floats
from tests.bench.accuracy.data import Encoded, Labelled
from tests.bench.accuracy.neighbours import Predict, prediction

_Pair = tuple[pd.DataFrame, Floats]
_FitOne = Callable[[_Pair, _Pair, int], Any]  # to rows to fit on, stopped by others, by a seed

_MOST_TREES, _LEARNING_RATE, _PATIENCE = 4_000, 0.05, 100
# AutoGluon's, by which TabArena runs "GBM (default)" and "CAT (default)".
_BAG, _MOST_TREES_BAGGED = 8, 10_000


def lightgbm(rows: Encoded, seed: int, threads: int, *, stops_early: bool) -> Predict:
    import lightgbm

    kind = lightgbm.LGBMRegressor if rows.is_regression else lightgbm.LGBMClassifier
    own = {"n_estimators": _MOST_TREES, "learning_rate": _LEARNING_RATE} if stops_early else {}
    model = kind(**own, n_jobs=threads, random_state=seed, verbose=-1)
    train, watched = _frames(rows, stops_early)
    if watched is None:
        return _on_frames(model.fit(*train), rows)
    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    return _on_frames(model.fit(*train, eval_X=watched[0], eval_y=watched[1], callbacks=[stop]), rows)


def lightgbm_bagged(rows: Encoded, seed: int, threads: int) -> Predict:
    """LightGBM's defaults at AutoGluon's learning rate, one model per held-out fold that stops it; their mean."""
    import lightgbm

    kind = lightgbm.LGBMRegressor if rows.is_regression else lightgbm.LGBMClassifier
    own = {"n_estimators": _MOST_TREES_BAGGED, "learning_rate": _LEARNING_RATE, "metric": _stopping_metric(rows)}

    def fit(train: _Pair, watched: _Pair, seed: int) -> Any:
        model = kind(**own, n_jobs=threads, random_state=seed, verbose=-1)
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        return model.fit(*train, eval_X=watched[0], eval_y=watched[1], callbacks=[stop])

    return _bagged(fit, rows, seed)


def _bagged(fit: _FitOne, rows: Encoded, seed: int, *, plain_codes: bool = False) -> Predict:
    """Return the mean of one model per held-out fold that stops it."""
    from sklearn.model_selection import KFold, StratifiedKFold

    folds = (KFold if rows.is_regression else StratifiedKFold)(_BAG, shuffle=True, random_state=seed)
    X, y = _frame(rows.fitting.X, rows.n_categories, plain_codes), rows.fitting.y
    models = [
        fit((X.iloc[fitted], y[fitted]), (X.iloc[held_out], y[held_out]), seed + i)
        for i, (fitted, held_out) in enumerate(folds.split(X, y))
    ]
    predicts = [_on_frames(model, rows, plain_codes=plain_codes) for model in models]
    return lambda test: np.mean([predict(test) for predict in predicts], axis=0)


def _stopping_metric(rows: Encoded) -> str:
    if rows.is_regression:
        return "rmse"
    return "auc" if rows.n_classes == 2 else "multi_logloss"


def xgboost(rows: Encoded, seed: int, threads: int, *, stops_early: bool) -> Predict:
    import xgboost

    kind = xgboost.XGBRegressor if rows.is_regression else xgboost.XGBClassifier
    own: dict[str, Any] = {}
    if stops_early:
        own = {"n_estimators": _MOST_TREES, "learning_rate": _LEARNING_RATE, "early_stopping_rounds": _PATIENCE}
    model = kind(**own, enable_categorical=True, n_jobs=threads, random_state=seed)
    train, watched = _frames(rows, stops_early)
    return _on_frames(model.fit(*train, eval_set=watched and [watched], verbose=False), rows)


def catboost(rows: Encoded, seed: int, threads: int, *, stops_early: bool) -> Predict:
    own: dict[str, Any] = {}
    if stops_early:
        own = {"iterations": _MOST_TREES, "learning_rate": _LEARNING_RATE, "early_stopping_rounds": _PATIENCE}
    model = _catboost(rows, seed, threads, **own)
    train, watched = _frames(rows, stops_early, plain_codes=True)
    return _on_frames(model.fit(*train, eval_set=watched), rows, plain_codes=True)


def catboost_bagged(rows: Encoded, seed: int, threads: int) -> Predict:
    """CatBoost's defaults at AutoGluon's learning rate, one model per held-out fold that stops it; their mean."""
    own = {"iterations": _MOST_TREES_BAGGED, "learning_rate": _LEARNING_RATE, "early_stopping_rounds": _PATIENCE}

    def fit(train: _Pair, watched: _Pair, seed: int) -> Any:
        return _catboost(rows, seed, threads, **own).fit(*train, eval_set=watched)

    return _bagged(fit, rows, seed, plain_codes=True)


def _catboost(rows: Encoded, seed: int, threads: int, **own: Any) -> Any:
    import catboost

    kind = catboost.CatBoostRegressor if rows.is_regression else catboost.CatBoostClassifier
    return kind(
        **own,
        cat_features=[f"c{i}" for i, count in enumerate(rows.n_categories) if count > 0],
        random_seed=seed,
        thread_count=threads,
        verbose=False,
        allow_writing_files=False,
    )


def _frames(rows: Encoded, stops_early: bool, *, plain_codes: bool = False) -> tuple[_Pair, _Pair | None]:
    """Return features and targets to fit on, and to stop by if there is early stopping."""

    def pair(part: Labelled) -> _Pair:
        y = part.y if rows.is_regression else part.y.astype(np.int64)
        return _frame(part.X, rows.n_categories, plain_codes), y

    return (pair(rows.train), pair(rows.validation)) if stops_early else (pair(rows.fitting), None)


def _on_frames(model: Any, rows: Encoded, *, plain_codes: bool = False) -> Predict:
    predict = prediction(model, rows)
    return lambda X: predict(_frame(X, rows.n_categories, plain_codes))


def _frame(X: Floats, n_categories: tuple[int, ...], plain_codes: bool) -> pd.DataFrame:
    """Return encoded rows with their categories marked as such, or, for CatBoost, as whole numbers (-1 for missing)."""
    columns: dict[str, Any] = {}
    for i, count in enumerate(n_categories):
        codes = np.where(np.isnan(X[:, i]), -1, X[:, i]).astype(np.int64) if count else X[:, i]
        is_marked = count > 0 and not plain_codes
        columns[f"c{i}"] = pd.Categorical.from_codes(codes, categories=range(count)) if is_marked else codes
    return pd.DataFrame(columns)
