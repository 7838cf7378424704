"""A name that is not there is answered with the one that was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resmem_cli.errors import did_you_mean
from tests.cli.conftest import Run

Model = Callable[..., Path]
COLUMNS = "id, carat, cut, color, clarity, depth, table, x, y, z, price"


@pytest.mark.parametrize(
    ("wrong", "known", "said"),
    [
        (["pice"], ["id", "price"], "did you mean 'price'? See the file."),
        (["PRICE"], ["id", "price"], "did you mean 'price' (which differs in case only)? See the file."),
        (["price"], [" price"], "did you mean ' price' (which differs in the spaces around it)? See the file."),
        (["Price "], ["price"], "did you mean 'price'? See the file."),
        (["price"], ["prices", "PRICE"], "did you mean 'PRICE' (which differs in case only)? See the file."),
        (
            ["pice", "carrat"],
            ["carat", "price"],
            "did you mean 'price' for 'pice', 'carat' for 'carrat'? See the file.",
        ),
        (["pice", "qqq"], ["carat", "price"], "did you mean 'price' for 'pice'? See the file."),
        (["qqq"], ["carat", "price"], "see the file."),
        (["x"], ["y", "z"], "see the file."),
        (["x"], [], "see the file."),
        ([""], ["y"], "see the file."),
    ],
)
def test_the_closest_name(wrong: list[str], known: list[str], said: str) -> None:
    assert did_you_mean(wrong, known, "see the file.") == said


def test_an_alias_stands_for_a_name_that_is_known_only() -> None:
    aliases = {"lgbm": "lightgbm"}
    assert did_you_mean(["LGBM"], ["lightgbm"], "", aliases) == "did you mean 'lightgbm'? "
    assert did_you_mean(["lgbm"], ["xgboost"], "", aliases) == ""


def test_very_many_names_take_no_longer_than_to_read_the_sentence() -> None:
    import time

    names = [f"column_{i}_of_a_wide_table" for i in range(100_000)]
    started = time.perf_counter()
    said = did_you_mean([f"Column_{i}_OF_a_wide_table" for i in range(99_000, 99_500)], names, "")
    assert "'column_99000_of_a_wide_table' (which differs in case only)" in said
    did_you_mean([f"colum_{i}_of_wide_table" for i in range(500)], names, "")
    assert time.perf_counter() - started < 5


class TestColumns:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--target", "pice"),
            ("--id", "pice"),
            ("--weight", "pice"),
            ("--features", "carat,pice"),
            ("--drop", "pice"),
            ("--category", "pice"),
        ],
    )
    def test_of_fit_base(self, model: Model, run: Run, option: str, value: str) -> None:
        model()
        target = () if option == "--target" else ("--target", "depth")
        ended = run("fit-base", "train.csv", *target, option, value, "--model", "other")
        assert ended.err == (
            f"resmem: train.csv has no column 'pice'; did you mean 'price'? Its columns are: {COLUMNS}\n"
        )
        assert ended.code == 3

    def test_that_differs_in_case_only(self, model: Model, run: Run) -> None:
        model()
        ended = run("fit-base", "train.csv", "--target", "Price", "--model", "other")
        assert "no column 'Price'; did you mean 'price' (which differs in case only)? Its columns are: " in ended.err

    def test_to_keep(self, model: Model, run: Run) -> None:
        ended = run("predict", "new.csv", "--model", model(), "--keep", "carrat")
        assert "has no column 'carrat' to keep; did you mean 'carat'? Its columns are: id, carat, " in ended.err

    def test_that_the_model_needs(self, model: Model, run: Run) -> None:
        text = (Path(model()).parent / "new.csv").read_text()
        Path("new.csv").write_text(text.replace("carat", "Carat", 1))
        ended = run("predict", "new.csv", "--model", "m")
        assert (
            "new.csv lacks the column 'carat', which the model needs; did you mean 'Carat' (which differs in case "
            in (ended.err)
        )
        assert "? Add it; the file has: id, Carat, " in ended.err

    def test_of_where(self, model: Model, run: Run) -> None:
        ended = run("forget", "train.csv", "--model", model(), "--where", "colour=J")
        assert (
            "train.csv lacks the column 'colour', which --where names; did you mean 'color'? Correct --where; the file "
            "has: id, "
        ) in ended.err

    def test_of_predictions(self, model: Model, run: Run) -> None:
        model()
        ended = run("fit-base", "train.csv", "-t", "price", "--predictions", "carrat", "--model", "other")
        assert "did you mean 'carat'?" in ended.err


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lgbm", "lightgbm"), ("LGB", "lightgbm"), ("ligthgbm", "lightgbm"), ("xgb", "xgboost"), ("XGBoost", "xgboost"),
        ("cat", "catboost"), ("catbost", "catboost"), ("rf", "boosting"), ("hgb", "boosting"), ("ridge", "linear"),
        ("logistic", "linear"), ("lienar", "linear"), ("nn", "network"), ("mean", "constant"),
        ("perceptron", "mlp"), ("linear,xgb", "xgboost"),
    ],
)  # fmt: skip
def test_an_estimator(model: Model, run: Run, written: str, meant: str) -> None:
    model()
    ended = run("fit-base", "train.csv", "-t", "price", "--model", "other", "--estimator", written)
    assert ended.code == 2
    assert f"there is no estimator '{written.rpartition(',')[2]}'; did you mean '{meant}'" in ended.err
    assert "? Choose from: auto, boosting, " in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predct",), "No such command 'predct'. Did you mean 'predict'"),
        (("fit_base",), "No such command 'fit_base'. Did you mean 'fit-base'?"),
        (("predict", "--outpt", "x"), "No such option: --outpt (Possible options: --output"),
    ],
)
def test_a_command_and_an_option(run: Run, words: tuple[str, ...], said: str) -> None:
    ended = run(*words)
    assert ended.code == 2
    assert said in ended.err
