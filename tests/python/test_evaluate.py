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
