"""`resmem distill`: a model without memory that predicts like one with memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.store import reading
from resmem_cli.workflow import distill
from tests.cli.conftest import Run, sample_csv, snapshot, table, write_csv

Model = Callable[..., Path]
Fails = Callable[..., None]
DISTILL = ("distill", "train.csv", "--model", "m", "--student", "s")
# Few and small trees: these tests are not of how well they learn.
SMALL = ("--param", "max_iter=20", "--param", "max_leaf_nodes=8")


def predicted(run: Run, model: str, *words: object, rows: str = "new.csv") -> dict[str, np.ndarray]:
    ended = run("predict", rows, "--model", model, "--keep", "none", "--quiet", *words)
    assert (ended.code, ended.err) == (0, "")
    read = pyarrow.csv.read_csv(pa.BufferReader(ended.out.encode()))
    return {name: read[name].to_numpy() for name in read.column_names}


def test_the_student_predicts_like_the_model(model: Model, run: Run) -> None:
    model()
    ended = run(*DISTILL)
    assert (ended.code, ended.out) == (0, "")
    assert ended.lines == [
        "fitted boosting to what 'm' predicts of 240 rows and of 4,800 made from them -> s/base.json",
        "next, what it keeps of the gain: resmem compare m s TEST",
    ]
    assert not Path("s/memory.json").exists()
    of_model, of_student = predicted(run, "m"), predicted(run, "s", "--base-only")
    corrections = of_model["prediction"] - of_model["prediction_base"]
    assert np.abs(of_student["prediction"] - of_model["prediction"]).mean() < 0.75 * np.abs(corrections).mean()


def test_of_classes_the_student_has_the_models_probabilities(model: Model, run: Run) -> None:
    model("chess")
    assert run(*DISTILL, "--quiet").code == 0
    of_model, of_student = predicted(run, "m", "--probabilities"), predicted(run, "s", "--base-only", "--probabilities")
    names = [name for name in of_model if name.startswith("probability_")]
    assert set(names) <= of_student.keys()
    apart = np.mean([np.abs(of_model[name] - of_student[name]).mean() for name in names])
    uniform = np.mean([np.abs(of_model[name] - of_model[name].mean()).mean() for name in names])
    assert apart < 0.5 * uniform


def test_targets_are_not_read(model: Model, run: Run) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    without = table("diamonds", "train").drop_columns(["price", "id"])
    write_csv(without, Path("unlabelled.csv"))
    ended = run("distill", "unlabelled.csv", "--model", "m", "--student", "other", *SMALL, "--quiet")
    assert (ended.code, ended.err) == (0, "")
    one, other = (sorted(path.name for path in Path(student, "parts").iterdir()) for student in ("s", "other"))
    assert one == other  # of the same content


def test_it_says_what_it_did_as_json(model: Model, run: Run) -> None:
    model()
    ended = run(*DISTILL, *SMALL, "--estimator", "boosting,linear", "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found == {"rows": 240, "made_rows": 4_800, "estimators": found["estimators"], "weights": found["weights"]}
    assert set(found["estimators"]) == set(found["weights"]) == {"boosting", "linear"}
    assert sum(found["weights"].values()) == pytest.approx(1)


def test_of_more_than_ten_classes_it_is_a_network(run: Run) -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(size=400)
    labels = [f"c{i:02}" for i in (a * 12).astype(int)]
    write_csv(pa.table({"a": a, "b": rng.uniform(size=400), "y": labels}), Path("train.csv"))
    assert run("fit-base", "train.csv", "-t", "y", "-m", "m", "--estimator", "linear", "-q").code == 0
    fixed = ("--folds", 0, "--neighbors", 3, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1)
    assert run("fit-residual", "train.csv", "-m", "m", *fixed, "--representation", "features", "-q").code == 0
    ended = run(*DISTILL, "--param", "max_iter=3", "--json", "--quiet")
    assert ended.code == 0
    assert json.loads(ended.out)["estimators"] == ["mlp"]


def test_the_student_is_a_model_like_others(model: Model, run: Run) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    assert run("verify", "--model", "s").code == 0
    described = run("inspect", "--model", "s")
    assert "bases: boosting; distilled; fitted on 240 rows" in described.out
    compared = run("compare", "m", "s", "test.csv", "--json", "--quiet")
    assert (compared.code, compared.err) == (0, "")
    assert json.loads(compared.out)["unseen"] is None  # no row of these was seen


def test_rows_that_the_model_has_seen_are_seen_by_the_student(model: Model, run: Run) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    found = json.loads(run("compare", "m", "s", "train.csv", "--json", "--quiet").out)
    assert (found["rows_seen_by_a"], found["rows_seen_by_b"]) == (240, 240)
    # Nor can a memory on top of it be judged by them.
    ended = run("fit-residual", "train.csv", "--model", "s", "--representation", "features")
    assert ended.code == 0
    assert "the memory is off: predictions are the base's" in ended.lines
    assert "not known" not in ended.err


def test_rows_that_the_memory_alone_has_seen_are_seen_by_the_student(model: Model, run: Run) -> None:
    model()
    assert run("remember", "test.csv", "--model", "m", "--quiet").code == 0
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    found = json.loads(run("compare", "m", "s", "test.csv", "--json", "--quiet").out)
    assert (found["rows_seen_by_a"], found["rows_seen_by_b"]) == (80, 80)


def test_forgotten_rows_that_the_model_still_knows_may_be_known_to_the_student(model: Model, run: Run) -> None:
    model()
    ids = [str(value) for value in table("diamonds", "train")["id"].to_pylist()[:3]]
    assert run("forget", "--model", "m", "--ids", ",".join(ids), "--quiet").code == 0
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    forgotten = [json.loads(Path(name, "base.json").read_text())["forgotten"] for name in ("m", "s")]
    assert forgotten == [3, 3]


def test_groups_that_the_model_has_seen_do_not_judge_a_memory_of_the_student(run: Run) -> None:
    rng = np.random.default_rng(0)
    group = np.arange(400) % 40
    shift = rng.normal(scale=5, size=40)[group]
    a, b = rng.normal(size=(2, 400))
    rows = pa.table({"a": a, "b": shift + 0.1 * b, "g": group, "y": a + shift})
    write_csv(rows.slice(0, 200), Path("one.csv"))
    write_csv(rows.slice(200), Path("other.csv"))
    few = ("--effort", "quick", "--quiet")
    assert run("fit-base", "one.csv", "-t", "y", "-m", "m", "--group", "g", "--estimator", "linear", "-q").code == 0
    assert run("fit-residual", "one.csv", "-m", "m", *few).code == 0
    assert run("distill", "one.csv", "-m", "m", "--student", "s", "--estimator", "linear", "--quiet").code == 0
    ended = run("fit-residual", "other.csv", "-m", "s", "--effort", "quick")
    assert ended.code == 0
    assert "the memory is off: predictions are the base's" in ended.lines


def test_of_very_many_rows_a_sample_makes_others(model: Model, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model()
    monkeypatch.setattr(distill, "_MOST_ROWS", 100)
    ended = run(*DISTILL, *SMALL)
    assert ended.lines[0] == "note: rows are made from a sample of 100 of 240 rows"
    assert "of 100 rows and of 2,000 made from them" in ended.lines[1]


def test_by_default_it_is_one_boosting_of_large_trees(model: Model, run: Run) -> None:
    model()
    assert run(*DISTILL, "--param", "max_iter=30", "--quiet").code == 0
    assert run("fit-base", "train.csv", "-t", "price", "-m", "b", "--estimator", "boosting", "-q").code == 0
    student, base = (reading.load_base(Path(name)).bases[0] for name in ("s", "b"))
    assert isinstance(student, Boosting)
    assert isinstance(base, Boosting)
    assert [len(each.bags) for each in (student, base)] == [1, 3]
    n_leaves = [(each.bags[0].forest.feature == -1).sum() / each.bags[0].n_iterations for each in (student, base)]
    assert n_leaves[1] < 32 < n_leaves[0]


def test_an_estimator_that_is_named_twice_is_fitted_once(model: Model, run: Run) -> None:
    model()
    ended = run(*DISTILL, *SMALL, "--estimator", "auto,boosting", "--json", "--quiet")
    assert json.loads(ended.out)["weights"] == {"boosting": 1.0}


def test_the_student_predicts_without_a_memory_only_if_that_is_said(model: Model, run: Run, fails: Fails) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    sentence = "the model 's' is distilled, and has no memory; predict with --base-only"
    fails(4, sentence, "predict", "new.csv", "--model", "s")
    fails(4, sentence, "predict", "new.csv", "--model", "s", "--output-dir", "out")
    fails(4, sentence, "predict", "new.csv", "--model", "s", "--output-dir", "out", "--engine", "dask")


def test_a_memory_on_top_of_the_student_predicts_as_any_other(model: Model, run: Run, fails: Fails) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    assert run("fit-residual", "train.csv", "--model", "s", "--representation", "features", "--quiet").code == 0
    assert len(predicted(run, "s")["prediction"]) == len(table("diamonds", "new"))
    Path("s/memory.json").write_text("{}")
    fails(4, run("verify", "--model", "s").err.removeprefix("resmem: ").rstrip(), "predict", "new.csv", "--model", "s")


def test_the_same_rows_give_the_same_student(model: Model, run: Run) -> None:
    model()
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    first = {path: data for path, data in snapshot(Path("s")).items() if path.startswith("parts")}
    shutil.rmtree("s")
    assert run(*DISTILL, *SMALL, "--quiet").code == 0
    assert {path: data for path, data in snapshot(Path("s")).items() if path.startswith("parts")} == first


def test_rows_from_standard_input(model: Model, run: Run, stdin: Callable[[bytes], None]) -> None:
    model()
    stdin(sample_csv("diamonds", "train").encode())
    assert run("distill", "-", "--model", "m", "--student", "s", *SMALL, "--quiet").code == 0
    assert Path("s/base.json").exists()


class TestRefused:
    """One sentence, and no file is changed."""

    def test_the_model_itself(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            2,
            "'m' is the model that is distilled, or lies in it; name another directory with --student",
            *("distill", "train.csv", "--model", "m", "--student", "m"),
        )

    def test_a_model_with_memory_as_the_student(self, model: Model, fails: Fails) -> None:
        model()
        shutil.copytree("m", "s")
        fails(
            2,
            "'s' is a model with a memory, which a student has not; name another directory with --student",
            *DISTILL,
        )

    def test_a_loss_that_the_predictions_do_not_suit(self, model: Model, run: Run) -> None:
        model()
        ended = run(*DISTILL, "--estimator", "poisson")
        assert ended.code == 2
        assert "and the minimum of the model's predictions is -" in ended.err
        assert not Path("s").exists()

    def test_a_directory_of_something_else(self, model: Model, fails: Fails) -> None:
        model()
        Path("s").mkdir()
        Path("s/thesis.tex").write_text("mine")
        fails(
            2,
            "the directory 's' contains files that do not belong to a model ('thesis.tex'); "
            "name an empty or new directory with --student",
            *DISTILL,
        )

    def test_a_model_without_memory(self, model: Model, fails: Fails) -> None:
        model()
        Path("m/memory.json").unlink()
        fails(
            4,
            "the model 'm' has no memory yet; run: resmem fit-residual TRAIN --model m "
            "(predict --base-only works without it)",
            *DISTILL,
        )

    def test_an_estimator_that_there_is_not(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            2,
            "there is no estimator 'boostin'; did you mean 'boosting'? Choose from: auto, boosting, poisson, lightgbm, "
            "xgboost, catboost, linear, discriminant, mlp, network, constant; several are separated by commas",
            *DISTILL,
            "--estimator",
            "boostin",
        )

    def test_a_parameter_that_it_has_not(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            2,
            "the estimator constant has no parameter 'max_iter'; leave --param out: it has none",
            *(*DISTILL, "--estimator", "constant", "--param", "max_iter=3"),
        )

    def test_rows_without_a_feature(self, model: Model, fails: Fails) -> None:
        model()
        write_csv(table("diamonds", "train").drop_columns(["carat"]), Path("train.csv"))
        fails(
            3,
            "train.csv lacks the column 'carat', which the model needs; add it; "
            "the file has: id, cut, color, clarity, depth, table, x, y, z, price",
            *DISTILL,
        )

    def test_no_rows(self, model: Model, fails: Fails) -> None:
        model()
        Path("train.csv").write_text(sample_csv("diamonds", "train").splitlines()[0] + "\n")
        fails(3, "train.csv has a header but no rows; give a file with at least one row", *DISTILL)

    def test_a_base_of_columns(self, run: Run, fails: Fails) -> None:
        rows = table("diamonds", "train")
        write_csv(rows.append_column("guess", rows["price"]), Path("train.csv"))
        assert run("fit-base", "train.csv", "-t", "price", "--predictions", "guess", "-m", "m", "-q").code == 0
        fixed = ("--folds", 0, "--neighbors", 3, "--bandwidth", 0.3, "--shrinkage", 1, "--representation", "features")
        assert run("fit-residual", "train.csv", "-m", "m", *fixed, "-q").code == 0
        fails(
            2,
            "the base of 'm' is columns of the input, which a row made from others does not have; "
            "distill a model whose base resmem fits or imports",
            *DISTILL,
        )
