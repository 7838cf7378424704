"""XGBoost's gradient boosting, fitted here or elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.boosters.inputs import Categories, Inputs, find_sources, inputs_by_code, said_of
from resmem_cli.model.bases.boosters.training_set import Sample, TrainingSet
from resmem_cli.model.bases.boosters.trees import (
    Trees,
    all_rounds,
    parameters_of,
    plainly,
    refuse_other_task,
    refuse_outputs,
    singles,
    threads,
)
from resmem_cli.model.bases.boosters.xgboost_file import refuse_damaged
from resmem_cli.model.bases.protocol import Problem, library, softmax
from resmem_cli.model.bases.table import Table
from resmem_cli.model.parallel import heard

Done = TypeVar("Done")

# Of scikit-learn's wrapper: what is ruled here, what needs objects, and boosting of other things than trees.
_RULED = {
    *("self", "kwargs", "random_state", "n_jobs", "verbosity", "device", "validate_parameters", "missing"),
    *("enable_categorical", "feature_types", "feature_weights", "callbacks", "importance_type"),
    *("booster", "multi_strategy"),
}
_NUMBER, _CATEGORY = "q", "c"


@dataclass(frozen=True)
class Xgboost(Trees):
    """Trees of XGBoost's; the model is its UBJSON."""

    package: ClassVar[str | None] = "xgboost"
    stored_as: ClassVar[str | None] = "ubj"

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        wrapper = library("xgboost").XGBModel
        return parameters_of(wrapper, problem, objective="objective", offers=lambda name: name not in _RULED)

    @classmethod
    def learned(cls, training_set: TrainingSet, inputs: Inputs) -> bytes:
        xgboost = library("xgboost")
        n_threads = threads(len(training_set.fitted.y))
        params = {**training_set.params, "seed": training_set.seed, "nthread": n_threads, "verbosity": 0}
        if training_set.n_classes:
            is_binary = training_set.n_classes == 2
            params["objective"] = "binary:logistic" if is_binary else "multi:softprob"
            params |= {} if is_binary else {"num_class": training_set.n_classes}
        types = [_CATEGORY if i in training_set.categories else _NUMBER for i in range(len(inputs.columns))]

        def matrix(sample: Sample) -> Any:
            own = {"feature_types": types, "enable_categorical": True, "nthread": n_threads}
            return xgboost.DMatrix(singles(inputs.numbers(sample.X)), label=sample.y, weight=sample.weight, **own)

        watched = [] if training_set.held is None else [(matrix(training_set.held), "held")]
        stop = [xgboost.callback.EarlyStopping(rounds=training_set.patience, save_best=True)] if watched else []
        own = {"evals": watched, "callbacks": stop, "verbose_eval": False}
        try:
            fitted = matrix(training_set.fitted)
            model = heard(lambda: xgboost.train(params, fitted, training_set.n_rounds, **own))
        except (xgboost.core.XGBoostError, TypeError) as error:
            raise ValueError(plainly(error)) from error
        return bytes(model.save_raw("ubj"))

    @classmethod
    def opened(cls, data: bytes) -> Any:
        xgboost = library("xgboost")
        if not data.startswith(b"{"):  # at an empty file the library ends the whole process
            raise ValueError("it is neither UBJSON nor JSON of XGBoost's")
        refuse_damaged(data)
        booster = xgboost.Booster()
        _asked(lambda: booster.load_model(bytearray(data)))
        return booster

    def outputs(self, X: Floats) -> Floats:
        """Return [n] numbers, or [n, m] probabilities, which the library itself gives in single precision only."""
        return self._formed(self._predicted(X, output_margin=len(self.classes) > 1))

    def _formed(self, margins: Floats) -> Floats:
        if len(self.classes) <= 1:
            return margins
        return softmax(margins if margins.ndim == 2 else np.column_stack([np.zeros(len(margins)), margins]))

    def by_owner(self, data: bytes, X: Floats) -> Floats:
        """Return what the wrapper for scikit-learn predicts: it obeys the file's best_iteration, as its owner's did."""
        xgboost = library("xgboost")
        wrapper = xgboost.XGBClassifier() if len(self.classes) else xgboost.XGBRegressor()
        wrapper.load_model(bytearray(data))
        read, own = singles(self.inputs.numbers(X)), {"validate_features": False}
        return self._formed(wrapper.predict(read, output_margin=len(self.classes) > 1, **own).astype(np.float64))

    def n_rounds(self) -> int:
        # A linear model has rounds, but no part of one.
        return 1 if _config(self.model)["gradient_booster"]["name"] == "gblinear" else self.model.num_boosted_rounds()

    def sums(self, X: Floats, rounds: list[tuple[int, int]]) -> list[Floats]:
        """Return the sums of trees alone, without the base score that the library adds to a prediction."""
        shape = (len(X), len(self.classes)) if len(self.classes) > 2 else len(X)
        nothing = {"base_margin": np.zeros(shape, dtype=np.float32), "output_margin": True}
        if len(rounds) == 1:
            return [self._predicted(X, **nothing)]
        return [self._predicted(X, **nothing, iteration_range=each) for each in rounds]

    def _predicted(self, X: Floats, base_margin: Any = None, **how: Any) -> Floats:
        types, names, n_threads = self.model.feature_types, self.model.feature_names, threads(len(X))
        own = {"feature_types": types, "feature_names": names, "enable_categorical": True, "nthread": n_threads}
        model, read, xgboost = self.model, singles(self.inputs.numbers(X)), library("xgboost")

        def predicted() -> Floats:
            matrix = xgboost.DMatrix(read, base_margin=base_margin, **own)
            model.set_param({"nthread": n_threads})
            found: Floats = model.predict(matrix, **how).astype(np.float64)
            return found

        return _asked(predicted)

    @classmethod
    def imported(cls, model: bytes, table: Table, outputs: Mapping[str, str]) -> Self:
        """Return a model that XGBoost has saved as UBJSON or JSON; `Importable` says what is raised.

        Its classes are taken as those of the target in sorted order: the file knows them as 0, 1, 2, …
        """
        refuse_outputs(outputs, "XGBoost's")
        booster = cls.opened(model)
        config = _config(booster)
        objective = config["objective"]["name"]
        refuse_other_task(table, objective, _n_classes(objective, int(config["learner_model_param"]["num_class"])))
        categories = _categories(booster)
        names = booster.feature_names or [f"f{i}" for i in range(booster.num_features())]
        sources = find_sources(table, names, numbered="f{}", categories=categories)
        booster, said = _best(booster, is_linear=config["gradient_booster"]["name"] == "gblinear")
        notes = (*said, *said_of(sources, names))
        return cls.adopted(bytes(booster.save_raw("ubj")), inputs_by_code(sources, categories), table, notes)


def _best(booster: Any, *, is_linear: bool) -> tuple[Any, tuple[str, ...]]:
    """Return the rounds of a booster up to its best, as far as it says which that was, and what to say of it.

    Where training was stopped early, the rounds after the best are in the file, and XGBoost's own estimators do not
    predict with them.
    """
    if is_linear:  # whose rounds are not apart
        return booster, ()
    n_rounds = booster.num_boosted_rounds()
    try:
        best = booster.attr("best_iteration")
    except AssertionError:  # it is empty
        best = ""
    if best is None:
        return booster, (all_rounds(n_rounds),)
    if not (re.fullmatch(r"\d{1,9}", best) and int(best) < n_rounds):
        raise ValueError(f"its best_iteration is {best}, and it has {n_rounds} rounds")
    if int(best) + 1 == n_rounds:
        return booster, (all_rounds(n_rounds),)
    said = (
        f"the model predicts with the first {int(best) + 1:,} of its {n_rounds:,} rounds of trees, as XGBoost's own "
        f"estimators do with a model that was stopped early (best_iteration {best})"
    )
    return _asked(lambda: booster[: int(best) + 1]), (said,)


def _asked(ask: Callable[[], Done]) -> Done:
    """Return what the library answers, which then says nothing on the error stream; ValueError if it refuses."""
    xgboost = library("xgboost")

    def quietly() -> Done:
        with xgboost.config_context(verbosity=0):  # a setting of each thread's own
            return ask()

    try:
        return heard(quietly)
    except xgboost.core.XGBoostError as error:
        raise ValueError(plainly(error)) from error


def _config(booster: Any) -> Mapping[str, Any]:
    learner: Mapping[str, Any] = json.loads(booster.save_config())["learner"]
    return learner


def _n_classes(objective: str, num_class: int) -> int | None:
    if objective.startswith(("reg:", "count:")):
        return 0
    if objective in ("binary:logistic", "binary:logitraw"):
        return 2
    return num_class if objective in ("multi:softprob", "multi:softmax") else None


def _categories(booster: Any) -> dict[int, Categories]:
    """Return by feature that is a category its values; files of before XGBoost 3.1 do not say them."""
    features = [i for i, each in enumerate(booster.feature_types or ()) if each == _CATEGORY]
    if not features:
        return {}
    values = booster.get_categories(export_to_arrow=True).to_arrow()
    return {i: values[i][1].to_pylist() if values and values[i][1] is not None else None for i in features}
