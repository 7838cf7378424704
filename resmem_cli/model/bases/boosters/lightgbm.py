"""LightGBM's gradient boosting, fitted here or elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.boosters.inputs import Categories, Inputs, find_sources, inputs_by_code, said_of
from resmem_cli.model.bases.boosters.lightgbm_text import header_of, refuse_damaged
from resmem_cli.model.bases.boosters.training_set import Sample, TrainingSet
from resmem_cli.model.bases.boosters.trees import (
    Trees,
    all_rounds,
    parameters_of,
    plainly,
    refuse_other_task,
    refuse_outputs,
    threads,
)
from resmem_cli.model.bases.protocol import Problem, library
from resmem_cli.model.bases.table import Table
from resmem_cli.model.parallel import heard

# Of scikit-learn's wrapper: what is ruled here, what needs objects, and kinds of boosting whose trees are no sum.
_RULED = {"self", "kwargs", "random_state", "n_jobs", "importance_type", "class_weight", "boosting_type"}
# What the wrapper leaves out: how categories are split.
_OF_CATEGORIES = {
    "min_data_per_group": 100,
    "max_cat_threshold": 32,
    "max_cat_to_onehot": 4,
    "cat_l2": 10.0,
    "cat_smooth": 10.0,
}
_CUSTOM = "custom"  # a loss that the user has programmed: the file names none
_OF_NUMBERS = {
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
    _CUSTOM,
}
_OF_TWO_CLASSES = {"binary", "cross_entropy"}
_OF_CLASSES = {"multiclass", "multiclassova"}


@dataclass(frozen=True)
class Lightgbm(Trees):
    """Trees of LightGBM's; the model is its text."""

    package: ClassVar[str | None] = "lightgbm"
    stored_as: ClassVar[str | None] = "txt"

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        wrapper = library("lightgbm").LGBMModel
        own = parameters_of(wrapper, problem, objective="objective", offers=lambda name: name not in _RULED)
        return own | _OF_CATEGORIES

    @classmethod
    def learned(cls, training_set: TrainingSet, inputs: Inputs) -> bytes:
        lightgbm = library("lightgbm")
        params = {
            **training_set.params,
            "seed": training_set.seed,
            "num_threads": threads(len(training_set.fitted.y)),
            "deterministic": True,
            "force_col_wise": True,  # left to itself the library measures which is faster
            "verbosity": -1,
        }
        if training_set.n_classes:
            is_binary = training_set.n_classes == 2
            params |= (
                {"objective": "binary"}
                if is_binary
                else {"objective": "multiclass", "num_class": training_set.n_classes}
            )

        def dataset(sample: Sample, **reference: Any) -> Any:
            categories = list(training_set.categories)
            return lightgbm.Dataset(
                inputs.numbers(sample.X), sample.y, weight=sample.weight, categorical_feature=categories, **reference
            )

        fitted = dataset(training_set.fitted)
        held = {} if training_set.held is None else {"valid_sets": [dataset(training_set.held, reference=fitted)]}
        callbacks = [lightgbm.early_stopping(training_set.patience, verbose=False)] if held else []
        try:
            _refuse_other_params(params, training_set.fitted.y)
            model = heard(lambda: lightgbm.train(params, fitted, training_set.n_rounds, callbacks=callbacks, **held))
        except (lightgbm.basic.LightGBMError, TypeError) as error:
            raise ValueError(plainly(error)) from error
        text: str = model.model_to_string()
        return text.encode()

    @classmethod
    def opened(cls, data: bytes) -> Any:
        lightgbm = library("lightgbm")
        refuse_damaged(data)
        try:
            return heard(lambda: lightgbm.Booster(model_str=data.decode()))
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(plainly(error)) from error

    def outputs(self, X: Floats) -> Floats:
        return self._formed(self._predicted(X))

    def _formed(self, predicted: Floats) -> Floats:
        return np.column_stack([1 - predicted, predicted]) if len(self.classes) == 2 else predicted

    def by_owner(self, data: bytes, X: Floats) -> Floats:
        found: Floats = library("lightgbm").Booster(model_str=data.decode()).predict(self.inputs.numbers(X))
        return self._formed(found)

    def n_rounds(self) -> int:
        return int(self.model.current_iteration())

    def sums(self, X: Floats, rounds: list[tuple[int, int]]) -> list[Floats]:
        """Return the sums of trees; in the first is the mean that training started from."""
        return [self._predicted(X, raw_score=True, start_iteration=a, num_iteration=b - a) for a, b in rounds]

    def _predicted(self, X: Floats, **how: Any) -> Floats:
        model, read = self.model, self.inputs.numbers(X)
        own = {"num_threads": threads(len(X)), "verbosity": -1, **how}
        try:
            predicted: Floats = heard(lambda: model.predict(read, **own))
        except library("lightgbm").basic.LightGBMError as error:
            raise ValueError(plainly(error)) from error
        return predicted

    @classmethod
    def imported(cls, model: bytes, table: Table, outputs: Mapping[str, str]) -> Self:
        """Return a model that LightGBM has saved as text; `Importable` says what is raised.

        Its classes are taken as those of the target in sorted order: the text knows them as 0, 1, 2, …
        """
        refuse_outputs(outputs, "LightGBM's")
        data = model.replace(b"\r\n", b"\n")
        booster, header = cls.opened(data), header_of(data)
        objective = header.get("objective", _CUSTOM).split(" ")[0]
        refuse_other_task(table, objective, _n_classes(objective, int(header["num_class"])))
        categories = _categories(booster, header["feature_infos"].split(" "))
        # The library writes the spaces in a column's name as underscores.
        written = replace(table, fields=tuple(replace(each, name=each.name.replace(" ", "_")) for each in table.fields))
        names = booster.feature_name()
        sources = find_sources(written, names, numbered="Column_{}", categories=categories)
        notes = (all_rounds(booster.current_iteration()), *said_of(sources, names))
        return cls.adopted(data, inputs_by_code(sources, categories), table, notes)


def _refuse_other_params(params: Mapping[str, Any], targets: Floats) -> None:
    """Let the library refuse parameters and targets on two rows, unheard: it writes to the error stream as well."""
    lightgbm = library("lightgbm")
    y = [targets.min(), targets.max()]
    with _silence():
        lightgbm.Booster(dict(params), lightgbm.Dataset(np.zeros((2, 1)), y, params=dict(params)))


@contextmanager
def _silence() -> Iterator[None]:
    """Hold back what is written to the error stream past Python."""
    if sys.stderr is None:  # then there is none
        yield
        return
    stream = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stream, 2)
        os.close(stream)


def _n_classes(objective: str, num_class: int) -> int | None:
    if objective in _OF_NUMBERS:
        return 0
    if objective in _OF_TWO_CLASSES:
        return 2
    return num_class if objective in _OF_CLASSES else None


def _categories(booster: Any, infos: list[str]) -> dict[int, Categories]:
    """Return by feature that is a category its values: those that pandas had, if it was pandas'."""
    said = booster.params.get("categorical_feature")
    # Where the file ends with the trees, the ranges of the features say it: [0:1] of a number, 0:1 of a category.
    found = [i for i, info in enumerate(infos) if info != "none" and not info.startswith("[")]
    features = said if isinstance(said, list) and said else found
    values = booster.pandas_categorical or []
    return dict(zip(features, values, strict=True)) if len(values) == len(features) else dict.fromkeys(features)
