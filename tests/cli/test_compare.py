"""`resmem compare`: two models on the same rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.model import metrics
from tests.cli.conftest import Run, sample_csv, table, write_csv

Model = Callable[..., Path]
Fails = Callable[..., None]
COMPARE = ("compare", "m", "other", "test.csv")
FITTED = ("--folds", 0, "--neighbors", 2, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1, "--quiet")


@pytest.fixture
def fitted(model: Model, run: Run) -> Callable[..., None]:
    """Give the model "m" of a sample, and fit "other" to some rows of the same columns."""

    def fit(name: str = "house", *words: object, train: str = "train.csv", target: str | None = None) -> None:
        model(name)
        of = target or {"house": "price", "chess": "depth"}[name]
        base = ("--target", of, "--id", "id", "--estimator", "constant", "--model", "other", "--quiet")
        assert run("fit-base", train, *base, *words).code == 0
        assert run("fit-residual", train, "--model", "other", "--representation", "features", *FITTED).code == 0

    return fit


def compared(run: Run, *words: object) -> dict[str, object]:
    ended = run(*words, "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    return json.loads(ended.out)


@pytest.mark.parametrize("name", ["house", "chess"])
def test_the_figures_are_those_of_evaluate(fitted: Callable[..., None], run: Run, name: str) -> None:
    fitted(name)
    found = compared(run, *COMPARE)
    a, b = (compared(run, "evaluate", "test.csv", "--model", path)["metrics"] for path in ("m", "other"))
    assert (found["a"], found["b"], found["rows"], found["unseen"]) == ("m", "other", 80, None)
    assert list(found["metrics"]) == list(a)
    for metric, each in found["metrics"].items():
        assert set(each) == {"a", "b", "gain", "gain_percent", "ci95"}
        assert (each["a"], each["b"]) == (a[metric]["resmem"], b[metric]["resmem"])
        assert each["gain"] == pytest.approx(metrics.gain(metric, each["a"], each["b"]))
        assert each["ci95"][0] <= each["gain_percent"] <= each["ci95"][1]


@pytest.fixture
def worse(fitted: Callable[..., None]) -> None:
    """Fit "other" to prices that are not those of their rows."""
    rows = table("diamonds", "train")
    shuffled = np.random.default_rng(0).permutation(rows["price"].to_numpy())
    write_csv(rows.set_column(rows.column_names.index("price"), "price", pa.array(shuffled)), Path("odd.csv"))
    fitted(train="odd.csv")


@pytest.mark.usefixtures("worse")
def test_the_other_way_round_gains_are_losses(run: Run) -> None:
    one, other = (compared(run, "compare", *pair, "test.csv") for pair in (("m", "other"), ("other", "m")))
    for metric, each in one["metrics"].items():
        assert each["gain"] == pytest.approx(-other["metrics"][metric]["gain"])
    assert one["verdict"].startswith("'other' is worse than 'm' by ")
    assert other["verdict"].startswith("'m' is better than 'other' by ")


@pytest.mark.usefixtures("worse")
def test_people_get_a_table_and_a_verdict(run: Run) -> None:
    ended = run(*COMPARE, "--output", "out.json")
    lines = ended.out.splitlines()
    assert lines[:3] == ["A: m", "B: other", ""]
    assert lines[3].split() == ["metric", "A", "B", "gain", "gain", "%", "95", "%", "interval"]
    assert [line.split()[0] for line in lines[5:8]] == ["rmse", "mae", "r2"]
    assert lines[-1].startswith("80 rows. 'other' is worse than 'm' by ")
    assert ended.err == ""
    assert json.loads(Path("out.json").read_text()) == compared(run, *COMPARE)


def test_a_model_and_its_copy_do_not_differ(model: Model, run: Run) -> None:
    model()
    shutil.copytree("m", "other")
    found = compared(run, *COMPARE)
    assert {(each["gain"], *each["ci95"]) for each in found["metrics"].values()} == {(0, 0, 0)}
    assert found["verdict"] == "The two models predict the same."
    assert run("compare", "m", "m", "train.csv").err == (
        "warning: 240 of the 240 rows equal training rows of 'm', so its metrics of all rows are too optimistic\n"
    )


def test_rows_that_either_has_seen_are_told_and_judged_apart(fitted: Callable[..., None], run: Run) -> None:
    """The other model has seen the first 40 of the test rows, and "m" none of them."""
    lines = sample_csv("diamonds", "test").splitlines()
    Path("more.csv").write_text(sample_csv("diamonds", "train") + "\n".join(lines[1:41]) + "\n")
    fitted(train="more.csv")
    found = compared(run, *COMPARE)
    assert (found["rows_seen_by_a"], found["rows_seen_by_b"], found["unseen"]["rows"]) == (0, 40, 40)
    without_price = [line.rpartition(",")[0] + "," for line in lines[1:41]]  # the others are drawn by their numbers
    Path("rest.csv").write_text("\n".join([lines[0], *without_price, *lines[41:]]) + "\n")
    assert found["unseen"]["metrics"] == compared(run, "compare", "m", "other", "rest.csv")["metrics"]
    assert found["verdict"].startswith("'other' differs from 'm' on the 40 unseen rows in rmse by ")
    assert run(*COMPARE).err == (
        "warning: 40 of the 80 rows equal training rows of 'other', so its metrics of all rows are too optimistic\n"
    )
    seen = compared(run, "compare", "m", "other", "train.csv")
    assert seen["unseen"] == {"rows": 0, "metrics": {}}
    assert seen["verdict"].startswith("'other' differs from 'm' in rmse by ")
    assert seen["verdict"].endswith(
        " %, but every row was seen in fitting by a model: do not rely on it; compare on other rows."
    )
    assert run("compare", "m", "other", "train.csv").err == (
        "warning: 240 of the 240 rows equal training rows of 'm', and 240 those of 'other', so the metrics of all rows "
        "are too optimistic\n"
    )


def test_too_few_rows_make_no_model_better(fitted: Callable[..., None], run: Run) -> None:
    fitted()
    write_csv(table("diamonds", "test").slice(0, 20), Path("few.csv"))
    found = compared(run, "compare", "m", "other", "few.csv")
    assert found["can_judge"] is False
    assert found["verdict"].endswith(" %, but 20 rows are too few to judge by: compare on at least 30 such rows.")
    write_csv(pa.concat_tables([table("diamonds", "train"), table("diamonds", "test").slice(0, 20)]), Path("mixed.csv"))
    found = compared(run, "compare", "m", "other", "mixed.csv")
    assert found["verdict"].endswith(
        " %, but of the rows that neither has seen in fitting 20 rows are too few to judge by: do not rely on it; "
        "compare on other rows."
    )


def test_models_may_read_other_columns(fitted: Callable[..., None], run: Run, fails: Fails) -> None:
    fitted("house", "--features", "carat,cut")
    assert compared(run, *COMPARE)["rows"] == 80
    narrow = table("diamonds", "test").drop_columns(["z"])
    write_csv(narrow, Path("narrow.csv"))
    ended = run("compare", "m", "other", "narrow.csv")
    assert ended.code == 3
    assert "narrow.csv lacks the column 'z', which the model needs; " in ended.err
    assert ended.err == run("compare", "other", "m", "narrow.csv").err


def test_classes_that_one_model_has_as_numbers_and_the_other_as_text(run: Run, tmp_path: Path) -> None:
    """Their order differs then: 2 comes before 10, and "10" before "2"."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, 240)
    labels = np.array([2, 10, 30])[x]
    rows = pa.table({"x": x + 0.1 * rng.normal(size=240), "y": labels})
    as_text = rows.set_column(1, "y", pa.array([str(label) for label in labels]))
    import pyarrow.parquet as pq

    for name, each in (("m", rows), ("other", as_text)):
        pq.write_table(each.slice(0, 160), f"{name}.parquet")
        words = ("--target", "y", "--task", "classification", "--estimator", "linear", "--model", name, "--quiet")
        assert run("fit-base", f"{name}.parquet", *words).code == 0
        fitted = run("fit-residual", f"{name}.parquet", "--model", name, "--representation", "features", *FITTED)
        assert fitted.code == 0
    pq.write_table(rows.slice(160), "test.parquet")
    found = compared(run, "compare", "m", "other", "test.parquet")["metrics"]
    assert found["accuracy"]["a"] == pytest.approx(found["accuracy"]["b"])
    assert found["log_loss"]["a"] == pytest.approx(found["log_loss"]["b"], rel=1e-3)
    pq.write_table(rows.slice(100), "seen.parquet")
    seen = compared(run, "compare", "m", "other", "seen.parquet")
    assert (seen["rows_seen_by_a"], seen["rows_seen_by_b"]) == (60, 60)


class TestRefused:
    def test_other_targets(self, fitted: Callable[..., None], fails: Fails) -> None:
        fitted(target="carat")
        fails(
            2,
            "the target of 'm' is 'price', and that of 'other' is 'carat'; compare models that answer the same "
            "question",
            *COMPARE,
        )

    def test_other_tasks(self, fitted: Callable[..., None], run: Run, fails: Fails) -> None:
        write_csv(_with_prices(["low", "high"]), Path("levels.csv"))
        fitted(train="levels.csv")
        fails(
            2,
            "the task of 'm' is regression, and that of 'other' is classification; compare models that answer the same "
            "question",
            *COMPARE,
        )

    def test_other_classes(self, fitted: Callable[..., None], fails: Fails) -> None:
        rows = table("chess", "train")
        depth = ["draw" if each == "thirteen" else each for each in rows["depth"].to_pylist()]
        write_csv(rows.set_column(rows.column_names.index("depth"), "depth", pa.array(depth)), Path("two.csv"))
        fitted("chess", train="two.csv")
        message = (
            "'{}' has {} classes and '{}' has {}; 'thirteen' is one of 'm' only; compare models that answer the same "
            "question"
        )
        fails(2, message.format("m", 3, "other", 2), *COMPARE)
        fails(2, message.format("other", 2, "m", 3), "compare", "other", "m", "test.csv")

    def test_other_weights(self, fitted: Callable[..., None], fails: Fails) -> None:
        write_csv(table("diamonds", "train").append_column("w", pa.array([1] * 240)), Path("weighted.csv"))
        fitted("house", "--weight", "w", train="weighted.csv")
        fails(
            2,
            "the weight column of 'm' is none, and that of 'other' is 'w'; compare models that answer the same "
            "question",
            *COMPARE,
        )

    @pytest.mark.parametrize("output", ["m/out.json", "other/out.json"])
    def test_a_file_in_either_model(self, model: Model, fails: Fails, output: str) -> None:
        model()
        shutil.copytree("m", "other")
        message = f"the output '{output}' lies in the model directory; name another --output"
        fails(2, message, *COMPARE, "--output", output)

    def test_a_model_that_is_not_there(self, model: Model, fails: Fails) -> None:
        model()
        message = "there is no model directory 'other'; make one: resmem fit-base TRAIN --target COLUMN --model other"
        fails(4, message, *COMPARE)


def _with_prices(levels: list[str]) -> pa.Table:
    rows = table("diamonds", "train")
    prices = pa.array([levels[i % len(levels)] for i in range(len(rows))])
    return rows.set_column(rows.column_names.index("price"), "price", prices)


def test_a_model_without_memory_predicts_by_its_base(model: Model, run: Run) -> None:
    model()
    shutil.copytree("m", "base")
    Path("base/memory.json").unlink()
    found = compared(run, "compare", "base", "m", "test.csv")
    of_model = compared(run, "evaluate", "test.csv", "--model", "m")["metrics"]
    assert found["rows_seen_by_a"] == 0
    for metric, each in found["metrics"].items():
        assert (each["a"], each["b"]) == (of_model[metric]["base"], of_model[metric]["resmem"])
