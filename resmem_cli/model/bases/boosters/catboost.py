"""CatBoost's gradient boosting, fitted here or elsewhere."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.boosters.inputs import Inputs, columns_of, find_sources, said_of
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
from resmem_cli.model.bases.protocol import Problem, library
from resmem_cli.model.bases.table import Field, Table
from resmem_cli.model.parallel import heard

# Of scikit-learn's wrapper: how trees are grown. The rest is ruled here, is about files, devices, texts or single
# features by their position, or is another name of one of these.
_GROWTH = {
    *("bagging_temperature", "boost_from_average", "boosting_type", "bootstrap_type", "border_count"),
    *("combinations_ctr", "counter_calc_method", "ctr_leaf_count_limit", "depth", "diffusion_temperature"),
    *("eval_metric", "feature_border_type", "fold_len_multiplier", "fold_permutation_block", "grow_policy"),
    *("l2_leaf_reg", "langevin", "leaf_estimation_backtracking", "leaf_estimation_iterations"),
    *("leaf_estimation_method", "loss_function", "max_ctr_complexity", "max_leaves", "min_data_in_leaf"),
    *("model_shrink_mode", "model_shrink_rate", "model_size_reg", "mvs_reg", "nan_mode", "one_hot_max_size"),
    *("posterior_sampling", "random_score_type", "random_strength", "rsm", "sampling_frequency", "score_function"),
    *("simple_ctr", "subsample"),
}
_OF_DRAWING = ("bagging_temperature", "bootstrap_type", "mvs_reg", "subsample")
_OF_COUNTS = ("Poisson", "Tweedie")  # losses whose trees sum to the logarithm of the prediction
# What a model's metadata says of when and where it was trained: without it, equal models are equal bytes.
_DATED = ("train_finish_time", "model_guid")
_MISSING = "nan"  # CatBoost takes no missing category: this is what pandas makes of one as text


@dataclass(frozen=True)
class Catboost(Trees):
    """Trees of CatBoost's; the model is its cbm."""

    usual_bags: ClassVar[int] = 3
    package: ClassVar[str | None] = "catboost"
    stored_as: ClassVar[str | None] = "cbm"
    encodes_targets: ClassVar[bool] = True  # ordered statistics, of every category and of their combinations
    # Its symmetric trees are weak learners, of which the library itself fits 1,000 (docs/decisions.md).
    short: ClassVar[Mapping[str, Any]] = {"n_estimators": 1_000, "learning_rate": 0.05, "early_stopping_rounds": 0}

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        wrapper = library("catboost").CatBoostRegressor
        return parameters_of(wrapper, problem, objective="loss_function", offers=lambda name: name in _GROWTH)

    @classmethod
    def inputs_of(cls, problem: Problem) -> Inputs:
        """Return the numbers and after them the categories, whose codes the model reads as text."""
        order = np.argsort([count > 0 for count in problem.n_categories], kind="stable")
        counts = {i: problem.n_categories[column] for i, column in enumerate(order)}
        return Inputs(
            order, {i: np.array([*map(str, range(count)), _MISSING]) for i, count in counts.items() if count > 0}
        )

    @classmethod
    def learned(cls, training_set: TrainingSet, inputs: Inputs) -> bytes:
        error_of_library = library("catboost").CatBoostError
        try:
            try:
                model = _trained(training_set, inputs, training_set.fitted)
            except error_of_library as error:
                if "features are either constant" not in str(error):
                    raise
                model = _trained(training_set, inputs, _told_nothing(training_set.fitted))
        except (error_of_library, TypeError) as error:
            raise ValueError(plainly(error)) from error
        metadata = model.get_metadata()
        for name in _DATED:
            del metadata[name]
        with tempfile.TemporaryDirectory() as folder:  # the library writes to files alone
            path = Path(folder, "model.cbm")
            model.save_model(str(path))
            return path.read_bytes()

    @classmethod
    def opened(cls, data: bytes) -> Any:
        catboost = library("catboost")
        try:
            # As a stream, whose end the library respects: of bytes it reads on beyond it.
            return heard(lambda: catboost.CatBoost().load_model(stream=io.BytesIO(data)))
        except catboost.CatBoostError as error:
            raise ValueError(plainly(error)) from error

    def outputs(self, X: Floats) -> Floats:
        if len(self.classes) > 1:
            return self._predicted(X, prediction_type="Probability")
        is_logarithm = _loss(self.model).startswith(_OF_COUNTS)
        return self._predicted(X, prediction_type="Exponent" if is_logarithm else "RawFormulaVal")

    def n_rounds(self) -> int:
        return int(self.model.tree_count_)

    def sums(self, X: Floats, rounds: list[tuple[int, int]]) -> list[Floats]:
        """Return the sums of trees; in the first is the bias that training started from."""
        pool, own = _pool(self.inputs, X), {"prediction_type": "RawFormulaVal", "thread_count": threads(len(X))}
        return [_asked(self.model.predict, pool, ntree_start=start, ntree_end=end, **own) for start, end in rounds]

    def _predicted(self, X: Floats, **how: Any) -> Floats:
        return _asked(self.model.predict, _pool(self.inputs, X), thread_count=threads(len(X)), **how)

    def by_owner(self, data: bytes, X: Floats) -> Floats:
        catboost, pool = library("catboost"), _pool(self.inputs, X)
        wrapper = catboost.CatBoostClassifier() if len(self.classes) else catboost.CatBoostRegressor()
        owned = wrapper.load_model(stream=io.BytesIO(data))
        found: Floats = owned.predict_proba(pool) if len(self.classes) else owned.predict(pool)
        return found

    @classmethod
    def imported(cls, model: bytes, table: Table, outputs: Mapping[str, str]) -> Self:
        """Return a model that CatBoost has saved as cbm; `Importable` says what is raised."""
        refuse_outputs(outputs, "CatBoost's")
        opened = cls.opened(model)
        classes = tuple(np.asarray(opened.classes_).tolist())
        refuse_other_task(table, _loss(opened) or "unknown", len(classes))
        if opened.get_text_feature_indices() or opened.get_embedding_feature_indices():
            raise UsageError(
                "the model has text or embedding features, which are not supported",
                "write its predictions as columns and use --predictions or --probabilities",
            )
        categories = dict.fromkeys(opened.get_cat_feature_indices(), ())
        sources = find_sources(table, opened.feature_names_, numbered="{}", categories=categories)
        recodings = {i: np.array([*_texts(sources[i].field), _MISSING]) for i in categories}
        order = table.order_of(classes) if classes else None
        notes = (all_rounds(opened.tree_count_), *said_of(sources, opened.feature_names_))
        return cls.adopted(model, Inputs(columns_of(sources), recodings), table, notes, order)


def _asked(predict: Callable[..., Floats], pool: Any, **how: Any) -> Floats:
    try:
        return heard(lambda: predict(pool, **how))
    except library("catboost").CatBoostError as error:
        raise ValueError(plainly(error)) from error


def _trained(training_set: TrainingSet, inputs: Inputs, fitted: Sample) -> Any:
    """Return the library's model of these rows, stopped by those that the training_set holds back."""
    catboost = library("catboost")
    params = {
        **training_set.params,
        "iterations": training_set.n_rounds,
        "random_seed": training_set.seed,
        "thread_count": threads(len(fitted.y)),
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    if len(np.unique(fitted.y)) == 1:  # by gradients that are all 0 no rows can be drawn
        params = {name: value for name, value in params.items() if name not in _OF_DRAWING} | {"bootstrap_type": "No"}
    if training_set.n_classes:
        params["loss_function"] = "Logloss" if training_set.n_classes == 2 else "MultiClass"
    if training_set.held is not None:
        params |= {"early_stopping_rounds": training_set.patience, "use_best_model": True}
    kind = catboost.CatBoostClassifier if training_set.n_classes else catboost.CatBoostRegressor

    def pool(sample: Sample) -> Any:
        label = sample.y.astype(np.int64) if training_set.n_classes else sample.y
        return _pool(inputs, sample.X, label=label, weight=sample.weight)

    rows, held = pool(fitted), None if training_set.held is None else pool(training_set.held)
    return heard(lambda: kind(**params).fit(rows, eval_set=held))


def _told_nothing(sample: Sample) -> Sample:
    """Return every row twice, with either value of the first feature: trees that must split learn nothing by it.

    For features that are all constant, of which the library makes no model.
    """
    n = len(sample.y)
    twice = sample.take(np.tile(np.arange(n), 2))
    twice.X[:, 0] = np.repeat([0.0, 1.0], n)
    return twice


def _pool(inputs: Inputs, X: Floats, **rows: Any) -> Any:
    """Return [n, d] encoded rows as the library's."""
    catboost = library("catboost")
    read, texts = singles(X[:, inputs.columns]), sorted(inputs.recodings)
    n_numbers = len(inputs.columns) - len(texts)
    if not texts:
        return catboost.Pool(read, **rows)
    if texts[0] == n_numbers:  # the categories are last: then no number has to become an object
        encoded = [np.char.encode(inputs.recodings[i], "utf-8").astype(object)[inputs.codes(X, i)] for i in texts]
        numbers = np.ascontiguousarray(read[:, :n_numbers]) if n_numbers else None
        return catboost.Pool(catboost.FeaturesData(numbers, np.column_stack(encoded)), **rows)
    mixed = read.astype(object)
    for i in texts:
        mixed[:, i] = inputs.recodings[i].astype(object)[inputs.codes(X, i)]
    return catboost.Pool(mixed, cat_features=texts, **rows)


def _texts(field: Field) -> tuple[str, ...]:
    """Return the values of a category as the library hashes them: booleans as numbers."""
    return ("0", "1") if field.kind == "boolean" else field.categories


def _loss(model: Any) -> str:
    try:
        return str(model.get_all_params().get("loss_function", ""))
    except library("catboost").CatBoostError:  # the file has no parameters of the training
        return ""
