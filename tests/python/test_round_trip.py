"""What Python saves the commands score to the same digits, and the other way round: of every kind of base."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from resmem_cli import ResMemClassifier, ResMemRegressor, load
from resmem_cli.cli.main import main
from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model.bases import ESTIMATORS
from resmem_cli.store import reading
from resmem_cli.workflow.scoring import ScoreOptions
from tests.model.examples import QUICK as PARAMS
from tests.model.examples import skip_if_absent

FAST: dict[str, Any] = {"effort": "quick", "n_folds": 2, "threads": 1}


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "kind": rng.choice(["red", "green"], n)})
    value = X["a"] + np.sin(3 * X["b"]) + (X["kind"] == "red")
    return X.assign(y=np.abs(value), size=np.where(value > 0.5, "large", "small"), id=[f"r{i}" for i in range(n)])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Training rows, and rows to predict without a target."""
    pq.write_table(pa.Table.from_pandas(frame(200), preserve_index=False), tmp_path / "train.parquet")
    new = frame(60, seed=1).drop(columns=["y", "size"])
    pq.write_table(pa.Table.from_pandas(new, preserve_index=False), tmp_path / "new.parquet")
    return tmp_path


def command(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def predicted(model: Path, rows: Path, *options: str) -> pd.DataFrame:
    command("predict", rows, "--model", model, "--output", rows.parent / "out.parquet", "--threads", 1, *options)
    return pq.read_table(rows.parent / "out.parquet").to_pandas()


FEATURES = ["a", "b", "kind"]
TRAIN = frame(200)
NEW = frame(60, seed=1)[FEATURES]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("target", ["y", "size"])
def test_the_commands_score_what_python_has_saved(name, target, files):
    skip_if_absent(name)
    if name == "poisson" and target == "size":
        pytest.skip("poisson is for numbers")
    if name == "discriminant" and target == "y":
        pytest.skip("discriminant is for classes")
    kind = ResMemRegressor if target == "y" else ResMemClassifier
    model = kind(name, base_params=PARAMS[name], **FAST).fit(TRAIN[FEATURES], TRAIN[target])
    model.save(files / "model")
    command("verify", "--model", files / "model")
    out = predicted(files / "model", files / "new.parquet", *(["--probabilities"] if target == "size" else []))
    np.testing.assert_array_equal(out["prediction"], model.predict(NEW))
    if target == "size":
        np.testing.assert_array_equal(out[["probability_large", "probability_small"]], model.predict_proba(NEW))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "discriminant"])  # which is for classes
def test_python_scores_what_the_commands_have_saved(name, files):
    skip_if_absent(name)
    params = [word for key, value in PARAMS[name].items() for word in ("--param", f"{key}={_word(value)}")]
    where = ("--model", files / "model", "--threads", 1)
    drop = ("--target", "y", "--drop", "size", "--id", "id")
    command("fit-base", files / "train.parquet", *drop, "--estimator", name, *params, *where)
    command("fit-residual", files / "train.parquet", *where, "--effort", "quick", "--folds", 2)
    out = predicted(files / "model", files / "new.parquet", "--interval", "0.8")
    model = ResMemRegressor.load(files / "model")
    np.testing.assert_array_equal(model.predict(NEW), out["prediction"])
    np.testing.assert_array_equal(model.predict_interval(NEW, 0.8), out[["lower", "upper"]])
    np.testing.assert_array_equal(load(files / "model").predict(NEW, base_only=True)[:, 0], out["prediction_base"])


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_both_doors_fit_the_same_model(name, files):
    where = ("--model", files / "model", "--threads", 1)
    drop = ("--target", "y", "--drop", "size", "--drop", "id")
    command("fit-base", files / "train.parquet", *drop, "--estimator", name, *where)
    command("fit-residual", files / "train.parquet", *where, "--effort", "quick", "--folds", 2)
    model = ResMemRegressor(name, **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    np.testing.assert_array_equal(model.predict(NEW), predicted(files / "model", files / "new.parquet")["prediction"])


@pytest.mark.parametrize("door", ["python", "commands"])
def test_rows_are_remembered_and_forgotten_through_either_door(door, files):
    ids = TRAIN["id"]
    model = ResMemRegressor("linear", **FAST).fit(TRAIN[FEATURES][:150], TRAIN["y"][:150], ids=ids[:150])
    model.save(files / "model")
    pq.write_table(pa.Table.from_pandas(TRAIN[150:].drop(columns="size"), preserve_index=False), files / "more.parquet")
    if door == "python":
        opened = ResMemRegressor.load(files / "model")
        opened.remember(TRAIN[FEATURES][150:], TRAIN["y"][150:], ids=ids[150:])
        opened.forget(ids=["r3", "r4"])
        opened.save(files / "model")
    else:
        command("remember", files / "more.parquet", "--model", files / "model", "--threads", 1)
        command("forget", "--ids", "r3,r4", "--model", files / "model", "--threads", 1)
    command("verify", "--model", files / "model")
    model.remember(TRAIN[FEATURES][150:], TRAIN["y"][150:], ids=ids[150:])
    assert model.forget(ids=["r3", "r4"]).n_rows == 198
    new = pq.read_table(files / "new.parquet").to_pandas()
    out = predicted(files / "model", files / "new.parquet")
    np.testing.assert_array_equal(out["prediction"], model.predict(new[FEATURES]))
    kept = [reading.trained_rows(files / "model").ids, reading.load_for_change(files / "model")[1].ids]
    assert all("r3" not in set(ids) and "r5" in set(ids) for ids in kept)


def test_what_the_commands_remembered_is_taken_back_through_python(files):
    model, where = files / "model", ("--model", files / "model", "--threads", 1, "--quiet")
    ResMemRegressor("linear", **FAST).fit(TRAIN[FEATURES], TRAIN["y"], ids=TRAIN["id"]).save(model)
    before = predicted(model, files / "new.parquet")
    more = frame(30, seed=2).drop(columns="size").assign(id=[f"more {i}" for i in range(30)])
    more = more.rename(columns={"id": load(model).schema.id_column})
    pq.write_table(pa.Table.from_pandas(more, preserve_index=False), files / "more.parquet")
    command("remember", files / "more.parquet", *where)
    loaded = load(model)
    assert [entry["command"] for entry in loaded.history] == ["fit-residual", "remember"]
    assert [entry["rows"] for entry in loaded.history] == [200, 230]
    assert [entry["state"] for entry in loaded.history] == ["kept", "present"]
    with pytest.raises(UsageError, match="max_residual is nan"):
        load(model).remember(
            loaded.labelled_rows(more[FEATURES], more["y"], ids=[f"more {i}" for i in range(30)]),
            max_residual=float("nan"),
        )
    undone = loaded.undo()
    assert (undone.n_rows, undone.n_removed, undone.command) == (200, 30, "fit-residual")
    np.testing.assert_array_equal(loaded.predict(NEW)[:, 0], before["prediction"])
    pd.testing.assert_frame_equal(predicted(model, files / "new.parquet"), before)
    with pytest.raises(UsageError, match="no earlier memory of"):
        loaded.undo()


def test_a_model_with_changes_of_its_own_undoes_nothing_in_the_directory(files):
    fitted = ResMemRegressor("linear", **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    with pytest.raises(UsageError, match=r"^this model is not what a directory holds"):
        fitted.model_.undo()
    fitted.save(files / "model")
    loaded, other = ResMemRegressor.load(files / "model"), load(files / "model")
    more = frame(30, seed=2)
    loaded.remember(more[FEATURES], more["y"])
    assert [entry["command"] for entry in loaded.model_.history] == ["fit-residual", "remember"]
    with pytest.raises(UsageError, match="load the model again to drop its changes"):
        loaded.model_.undo()
    loaded.save(files / "model")
    assert [entry["rows"] for entry in load(files / "model").history] == [200, 230]
    with pytest.raises(ModelError, match="was written since it was loaded"):
        other.undo()


def test_a_fitted_pipeline_of_scikit_learn_is_the_base(files):
    encode = make_column_transformer((OneHotEncoder(), ["kind"]), (StandardScaler(), ["a", "b"]))
    base = make_pipeline(encode, Ridge()).fit(TRAIN[FEATURES], TRAIN["y"])
    model = ResMemRegressor(base, **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    model.save(files / "model")
    out = predicted(files / "model", files / "new.parquet")
    np.testing.assert_allclose(out["prediction_base"], base.predict(NEW))
    np.testing.assert_array_equal(out["prediction"], model.predict(NEW))


def test_a_fitted_classifier_of_scikit_learn_is_the_base(files):
    base = LogisticRegression().fit(TRAIN[["a", "b"]], TRAIN["size"])
    model = ResMemClassifier(base, **FAST).fit(TRAIN[FEATURES], TRAIN["size"])
    model.save(files / "model")
    out = predicted(files / "model", files / "new.parquet", "--probabilities")
    np.testing.assert_array_equal(out["probability_large"], model.predict_proba(NEW)[:, 0])
    before = load(files / "model").predict(NEW, base_only=True)
    np.testing.assert_allclose(before, base.predict_proba(NEW[["a", "b"]]))


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["estimator", "booster"])
def test_a_fitted_booster_is_the_base(library, wrapped, files):
    pytest.importorskip(library)
    X, new = TRAIN[["a", "b"]], NEW[["a", "b"]]
    fitted = _booster(library).fit(X, TRAIN["y"])
    inner = {"lightgbm": lambda: fitted.booster_, "xgboost": lambda: fitted.get_booster(), "catboost": lambda: fitted}  # noqa: PLW0108 - one of them has it
    model = ResMemRegressor(fitted if wrapped else inner[library](), **FAST).fit(X, TRAIN["y"])
    model.save(files / "model")
    out = predicted(files / "model", files / "new.parquet")
    np.testing.assert_allclose(out["prediction_base"], fitted.predict(new), rtol=1e-6)
    np.testing.assert_array_equal(out["prediction"], model.predict(new))


def _booster(library: str) -> Any:
    if library == "lightgbm":
        import lightgbm

        return lightgbm.LGBMRegressor(n_estimators=10, verbose=-1, n_jobs=1)
    if library == "xgboost":
        import xgboost

        return xgboost.XGBRegressor(n_estimators=10, n_jobs=1)
    import catboost

    return catboost.CatBoostRegressor(
        n_estimators=10, verbose=False, allow_writing_files=False, allow_const_label=True, thread_count=1
    )


# Without memory


@pytest.mark.parametrize(("estimator", "target"), [(ResMemRegressor, "y"), (ResMemClassifier, "size")])
def test_a_distilled_model_is_saved_and_loaded_by_python_and_by_the_commands(files, estimator, target):
    model = estimator(base="linear", **FAST).fit(TRAIN[FEATURES], TRAIN[target])
    student = model.distill(TRAIN[FEATURES], base="boosting", base_params={"max_iter": 100})
    of_student = student.predict(NEW, threads=1)
    apart = np.abs(of_student - model.model_.predict(NEW, threads=1)).mean()
    assert apart < 0.5 * np.abs(of_student - of_student.mean(axis=0)).mean()
    assert not student.uses_memory
    student.save(files / "student")
    for again in (load(files / "student"), copy.deepcopy(load(files / "student"))):
        np.testing.assert_array_equal(again.predict(NEW, threads=1), of_student)
    loaded = estimator.load(files / "student", threads=1)
    expected = of_student[:, 0] if target == "y" else loaded.classes_[of_student.argmax(axis=1)]
    np.testing.assert_array_equal(loaded.predict(NEW), expected)
    np.testing.assert_array_equal(
        predicted(files / "student", files / "new.parquet", "--base-only")["prediction"], expected
    )
    model.save(files / "model")
    command("distill", files / "train.parquet", "--model", files / "model", "--student", files / "other", "--quiet")
    batches = load(files / "other").score(pa.Table.from_pandas(NEW).to_batches())
    (names,) = [each.schema.names for each in batches]
    assert "prediction" in names
    assert "prediction_base" not in names


def test_a_distilled_model_says_that_it_has_no_memory(files):
    model = ResMemRegressor(base="linear", **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    student = model.distill(TRAIN[FEATURES], base="boosting", base_params={"max_iter": 20})
    rows = pa.Table.from_pandas(NEW)
    for call in (
        lambda: student.predict_interval(NEW, 0.5),
        lambda: student.explain(NEW),
        lambda: student.evaluate(NEW, np.zeros(len(NEW))),
        lambda: student.forget(ids=["r1"]),
        lambda: student.distill(NEW),
        lambda: next(student.score(rows.to_batches(), ScoreOptions(with_support=True))),
    ):
        with pytest.raises(UsageError, match="this model was distilled: it has no memory"):
            call()
    model.save(files / "model")
    with pytest.raises(UsageError, match="a model with a memory, which a student has not"):
        student.save(files / "model")
    assert load(files / "model").uses_memory == model.model_.uses_memory
    with pytest.raises(ValueError, match="no estimator"):
        model.distill(TRAIN[FEATURES], base="nothing")


def test_a_distilled_model_keeps_its_own_rows_if_the_directory_is_written_since(files):
    model = ResMemRegressor(base="linear", **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    small = {"base": "boosting", "base_params": {"max_iter": 20}}
    model.distill(TRAIN[FEATURES], **small).save(files / "student")
    first, second = load(files / "student"), load(files / "student")
    copied = copy.deepcopy(second)
    model.distill(TRAIN[FEATURES][:100], **small).save(files / "student")
    with pytest.raises(ModelError, match="was written since"):
        first.save(files / "other")
    copied.save(files / "other")
    np.testing.assert_array_equal(load(files / "other").predict(NEW), copied.predict(NEW))


@pytest.mark.parametrize("give", [lambda X: X[:0], lambda X: X.drop(columns="a")])
def test_rows_that_nothing_can_be_distilled_from_are_refused(give):
    model = ResMemRegressor(base="linear", **FAST).fit(TRAIN[FEATURES], TRAIN["y"])
    with pytest.raises(ValueError, match=r"no rows|0 sample|feature|column"):
        model.distill(give(TRAIN[FEATURES]), base=["boosting", "linear"])


# What fit-residual says


def test_a_base_that_refuses_missing_values_is_looked_at_without_alarm():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=600), "shop": np.repeat(np.arange(150.0), 4)})
    y = X["a"] + np.sin(X["shop"]) * 3
    fitted = Ridge().fit(X[:100], y[:100])
    model = ResMemRegressor(base=fitted, shrinkage=1, representation="features", **FAST).fit(X, y)
    assert model.model_.uses_memory


def test_notes_on_copies_reach_python():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(300, 3)), 2, axis=0)
    y = np.repeat(rng.normal(size=300), 2)
    noisy = ResMemRegressor(base="linear", **FAST).fit(X + 0.003 * rng.normal(size=X.shape), y)
    assert any("less than a fifth of the distance" in note for note in noisy.notes_)
    loaded = ResMemRegressor(base="linear", **FAST).fit(np.column_stack([X, rng.normal(size=600)]), y)
    assert sum("are equal to others in the target" in note for note in loaded.notes_) == 1
