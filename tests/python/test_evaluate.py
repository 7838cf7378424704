"""What `resmem evaluate` says of labelled rows, Python says too: the same figures by both doors."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli import ResMemClassifier, ResMemRegressor, load
from resmem_cli.cli.main import main
from resmem_cli.errors import DataError

QUICK = {"base": "linear", "effort": "quick", "n_folds": 2, "threads": 1}
FEATURES = ["a", "b", "kind"]


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "kind": rng.choice(["red", "green"], n)})
    value = X["a"] + np.sin(3 * X["b"]) + (X["kind"] == "red")
    shop = rng.choice(["north", "south"], n)
    return X.assign(y=value, size=np.where(value > 0.5, "large", "small"), w=rng.uniform(1, 2, n), shop=shop)


TRAIN = frame(200, 0)
ROWS = pd.concat([frame(120, 1), TRAIN[:40]], ignore_index=True)  # of which forty were seen


@pytest.fixture
def by_command(tmp_path, capfd):
    """Save a model, and evaluate ROWS by the command."""

    def evaluate(model, *words):
        model.save(tmp_path / "model")
        rows = ROWS.rename(columns={"w": model.model_.schema.weight_column or "w"})
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), tmp_path / "rows.parquet")
        command = ["evaluate", tmp_path / "rows.parquet", "--model", tmp_path / "model", "--json", *words]
        assert main(list(map(str, command))) == 0
        return json.loads(capfd.readouterr().out)

    return evaluate


def test_an_estimator_says_what_the_command_says(by_command):
    model = ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"])
    found = model.evaluate(ROWS[FEATURES], ROWS["y"], by=["kind", "a"], coverage=0.8, seed=3)
    assert (found.n_rows, found.n_seen) == (160, 40)
    assert found.to_json() == by_command(model, "--by", "kind,a", "--interval", 0.8, "--seed", 3)


def test_weights_count_and_are_asked_for(by_command):
    model = ResMemClassifier(**QUICK).fit(TRAIN[FEATURES], TRAIN["size"], TRAIN["w"])
    found = model.evaluate(ROWS[FEATURES], ROWS["size"], ROWS["w"], by=["auto"])
    assert found.to_json() == by_command(model, "--by", "auto")
    with pytest.raises(ValueError, match="the model was fitted with weights, and these rows have none"):
        model.evaluate(ROWS[FEATURES], ROWS["size"])


def test_rows_need_no_ids(by_command):
    model = ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"], ids=TRAIN.index)
    assert model.evaluate(ROWS[FEATURES], ROWS["y"]).to_json() == by_command(model)


def test_a_model_slices_by_columns_that_it_does_not_use(by_command, tmp_path):
    estimator = ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"])
    expected = by_command(estimator, "--by", "shop")
    X = ROWS[[*FEATURES, "shop"]]
    for model in (estimator.model_, load(tmp_path / "model")):
        assert model.evaluate(X, ROWS["y"], by=["shop"]).to_json() == expected
    with pytest.raises(ValueError, match=r"^X lacks the column 'shop', which by names; correct by"):
        estimator.evaluate(ROWS[FEATURES], ROWS["y"], by=["shop"])


def test_one_column_to_slice_by_may_be_a_string():
    model = ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"])
    by_list, by_name = (model.evaluate(ROWS[FEATURES], ROWS["y"], by=by) for by in (["kind"], "kind"))
    assert by_list.to_json() == by_name.to_json()
    assert model.evaluate(ROWS[FEATURES], ROWS["y"], by="auto").slices.is_auto
    with pytest.raises(ValueError, match=r"^by names no column; name one, or give auto$"):
        model.evaluate(ROWS[FEATURES], ROWS["y"], by="")


@pytest.mark.parametrize("is_told", [True, False], ids=["of a model with groups", "of a model without"])
def test_groups_are_drawn_whole(is_told):
    train, new, who = TRAIN[FEATURES], frame(120, 2), np.repeat(np.arange(12), 10)
    groups = np.repeat(np.arange(20), 10) if is_told else None
    estimator = ResMemRegressor(**{**QUICK, "shrinkage": 1.0}).fit(train, TRAIN["y"], groups=groups)
    for model in (estimator, estimator.model_):
        found = model.evaluate(new[FEATURES], new["y"], groups=who)
        assert (found.every.n_groups, found.to_json()["groups"], found.notes) == (12, 12, ())
        without = model.evaluate(new[FEATURES], new["y"])
        note = "the rows have no 'group', the groups that the model was fitted with: intervals may be too narrow"
        assert (without.every.n_groups, without.notes) == (None, (note,) if is_told else ())
        assert without.metrics["rmse"].ci95 != found.metrics["rmse"].ci95
        few = model.evaluate(new[FEATURES], new["y"], groups=who // 2)
        assert few.uses_memory
        assert "but rows of 6 groups are too few to judge by" in few.verdict
        assert not few.judged.are_enough


def test_rows_that_cannot_be_evaluated():
    estimator = ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"])
    for model in (estimator, estimator.model_):
        with pytest.raises((ValueError, DataError), match=r"^there are no rows; give labelled rows$"):
            model.evaluate(ROWS[FEATURES][:0], ROWS["y"][:0])
    with pytest.raises(DataError, match=r"^X holds the target 'y'; drop it$"):
        estimator.model_.evaluate(ROWS, ROWS["y"])
