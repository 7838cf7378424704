"""`resmem evaluate` as a gate: thresholds, exit code 5, and the file that a program reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from resmem_cli.cli import limits
from resmem_cli.model.metrics import METRICS
from resmem_cli.workflow import thresholds
from tests.cli.conftest import Run, snapshot, table, write_csv

Model = Callable[..., Path]
Fails = Callable[..., None]
EVALUATE = ("evaluate", "test.csv", "--model", "m")


def test_there_is_an_option_per_metric() -> None:
    assert list(limits.SIDES) == list(METRICS)
    named = [f"--{side}-{metric.replace('_', '-')}" for metric, side in limits.SIDES.items()]
    assert named == [thresholds.option(metric) for metric in METRICS]


def measured(run: Run, *words: object) -> dict[str, object]:
    ended = run(*EVALUATE, *words, "--json", "--quiet")
    return json.loads(ended.out) | {"code": ended.code, "err": ended.err}


@pytest.mark.parametrize("name", ["house", "chess"])
def test_every_metric_can_be_limited(model: Model, run: Run, name: str) -> None:
    """At the value itself a limit is reached; just beyond it, it is not."""
    model(name)
    metrics = measured(run)["metrics"]
    for metric, compared in metrics.items():
        option, value = thresholds.option(metric), compared["resmem"]
        beyond = value - 1e-6 if METRICS[metric].lower_is_better else value + 1e-6
        reached, missed = (measured(run, f"{option}={limit!r}") for limit in (value, beyond))
        assert (reached["code"], reached["err"]) == (0, "")
        assert missed["code"] == 5
        assert missed["err"] == (
            f"resmem: {metric} is {value:.5g} ({option} {beyond:g}): threshold not reached; fit again, or change it\n"
        )
        assert reached["thresholds"] == [
            {"option": option, "metric": metric, "limit": value, "value": value, "is_reached": True}
        ]
        assert missed["thresholds"][0]["is_reached"] is False


def test_the_gain_is_judged_by_the_lower_end_of_its_interval(model: Model, run: Run) -> None:
    model()
    compared = measured(run)["metrics"]["rmse"]
    low = compared["ci95"][0]
    assert low < compared["gain_percent"]
    reached, missed = (measured(run, f"--min-gain={limit!r}") for limit in (low, compared["gain_percent"]))
    assert reached["code"] == 0
    assert missed["code"] == 5
    assert missed["err"] == (
        f"resmem: the lower end of the interval of the gain in rmse is {low:.5g} % (--min-gain "
        f"{compared['gain_percent']:g}): threshold not reached; fit again, or change it\n"
    )


def test_what_is_missed_is_said_last_and_all_else_as_ever(model: Model, run: Run) -> None:
    model()
    plain, ended = run(*EVALUATE), run(*EVALUATE, "--max-rmse", 1, "--min-r2", 1, "--output", "out.json")
    assert ended.out == plain.out
    assert ended.code == 5
    assert ended.err.count("\n") == 1
    assert " (--max-rmse 1) and r2 is " in ended.err
    assert ended.err.endswith(" (--min-r2 1): thresholds not reached; fit again, or change them\n")
    found = json.loads(Path("out.json").read_text())
    assert [each["is_reached"] for each in found["thresholds"]] == [False, False]


def test_the_file_is_what_json_prints(model: Model, run: Run) -> None:
    model()
    ended = run(*EVALUATE, "--by", "cut", "--json", "--output", "out.json")
    assert Path("out.json").read_text() == ended.out
    assert run(*EVALUATE, "--by", "cut", "--output", "-").out == ended.out
    assert not Path("-").exists()


def test_rows_that_were_seen_reach_nothing(model: Model, run: Run) -> None:
    model()
    ended = run("evaluate", "train.csv", "--model", "m", "--min-gain", -1000, "--max-mae", 1e9)
    assert ended.code == 5
    assert ended.lines[-1] == (
        "resmem: --min-gain and --max-mae are not reached: 240 of the 240 rows equal training rows; evaluate on at "
        "least 30 other rows"
    )
    write_csv(table("diamonds", "test").slice(0, 1), Path("one.csv"))
    ended = run("evaluate", "train.csv", "one.csv", "--model", "m", "--max-mae", 1e9)
    assert ended.code == 5
    assert ended.lines[-1] == (
        "resmem: --max-mae is not reached: 240 of the 241 rows equal training rows, and of the others 1 row is too few "
        "to judge by; evaluate on at least 30 other rows"
    )


@pytest.mark.parametrize(
    ("copies", "lack"),
    [
        ([(0, 1)], "1 row is too few to judge by"),
        ([(0, 29)], "29 rows are too few to judge by"),
        ([(0, 1)] * 40, "1 different row is too few to judge by"),
        ([(0, 30)], None),
    ],
    ids=["one", "29", "copies", "30"],
)
def test_too_few_rows_reach_nothing(model: Model, run: Run, copies: list[tuple[int, int]], lack: str | None) -> None:
    model()
    rows = table("diamonds", "test")
    write_csv(pa.concat_tables([rows.slice(*each) for each in copies]), Path("few.csv"))
    ended = run("evaluate", "few.csv", "--model", "m", "--min-gain", -1000)
    found = json.loads(run("evaluate", "few.csv", "--model", "m", "--json").out)
    if lack is None:
        assert (ended.code, ended.err, found["can_judge"]) == (0, "", True)
        return
    assert (ended.code, found["can_judge"]) == (5, False)
    assert ended.err == f"resmem: --min-gain is not reached: {lack}; evaluate on at least 30 such rows\n"
    assert found["verdict"].startswith("The memory changes rmse by ")
    assert found["verdict"].endswith(f" %, but {lack}: evaluate on at least 30 such rows.")


def test_a_value_that_is_not_known_reaches_nothing(model: Model, run: Run) -> None:
    model()
    rows = table("diamonds", "test")
    same = rows.set_column(rows.column_names.index("price"), "price", pa.array([500] * 80))
    write_csv(same, Path("same.csv"))
    ended = run("evaluate", "same.csv", "--model", "m", "--min-r2", 0)
    assert ended.code == 5
    assert ended.err == "resmem: r2 is not known (--min-r2 0): threshold not reached; fit again, or change it\n"


def test_a_memory_that_is_off_gains_nothing(model: Model, run: Run) -> None:
    model()
    assert run("fit-residual", "train.csv", "--model", "m", "--shrinkage", 0, "--quiet").code == 0
    assert run(*EVALUATE, "--min-gain", 0).code == 0
    assert run(*EVALUATE, "--min-gain", 0.1).code == 5


class TestRefused:
    @pytest.mark.parametrize(("option", "value"), [("--max-rmse", "nan"), ("--min-gain", "inf"), ("--min-r2", "-inf")])
    def test_numbers_that_are_no_limits(self, model: Model, fails: Fails, option: str, value: str) -> None:
        model()
        fails(2, f"{option} must be a number, not {value}; give a finite one", *EVALUATE, option, value)

    @pytest.mark.parametrize(
        ("name", "words", "message"),
        [
            ("chess", ("--min-accuracy", 70), "--min-accuracy 70: accuracy is at most 1; 70 % is 0.7"),
            ("chess", ("--min-roc-auc", 101), "--min-roc-auc 101: roc_auc is at most 1; give a smaller number"),
            ("chess", ("--max-brier", -0.1), "--max-brier -0.1: brier is at least 0; give a larger number"),
            ("house", ("--max-rmse", -1), "--max-rmse -1: rmse is at least 0; give a larger number"),
            ("house", ("--min-gain", 101), "--min-gain 101: rmse falls by 100 % at most; ask for less"),
        ],
    )
    def test_limits_that_no_model_can_reach(
        self, model: Model, fails: Fails, name: str, words: tuple[str, float], message: str
    ) -> None:
        model(name)
        fails(2, message, *EVALUATE, *words)

    @pytest.mark.parametrize(
        ("option", "value", "hint"),
        [("--min-gain", "5%", "give 5"), ("--min-gain", "5 %", "give 5"), ("--min-accuracy", "70%", "give 0.7")],
    )
    def test_percent_signs(self, fails: Fails, option: str, value: str, hint: str) -> None:
        message = f"Invalid value for '{option}': '{value}' has a percent sign; {hint}; see resmem evaluate --help"
        fails(2, message, *EVALUATE, option, value)

    def test_metrics_of_the_other_task(self, model: Model, fails: Fails) -> None:
        model()
        message = "--min-accuracy does not fit the model, a regression; use --max-rmse, --max-mae, --min-r2"
        fails(2, message, *EVALUATE, "--min-accuracy", 0.5)

    def test_a_file_in_a_folder_that_is_not_there(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            1,
            "'no/out.json' cannot be written (No such file or directory); create the directory first, or choose "
            "another with --output",
            *EVALUATE,
            *("--output", "no/out.json"),
        )

    @pytest.mark.parametrize(
        ("output", "message"),
        [
            ("test.csv", "the input 'test.csv' would be replaced by the output; name another --output"),
            ("m/out.json", "the output 'm/out.json' lies in the model directory; name another --output"),
        ],
    )
    def test_a_file_that_is_an_input_or_a_part_of_the_model(
        self, model: Model, fails: Fails, output: str, message: str
    ) -> None:
        model()
        fails(2, message, *EVALUATE, "--output", output)

    def test_an_error_leaves_the_file_that_is_there(self, model: Model, run: Run, tmp_path: Path) -> None:
        model()
        Path("out.json").write_text("before")
        before = snapshot(tmp_path)
        assert run(*EVALUATE, "--by", "id", "--output", "out.json").code == 3
        assert snapshot(tmp_path) == before
