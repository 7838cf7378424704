"""`resmem evaluate` as a gate: thresholds, exit code 5, and the file that a program reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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
        assert missed["err"].startswith(
            f"resmem: {metric} is {value:.5g}, {limits._WORDS[limits.SIDES[metric]]} {option}"
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
        f"resmem: the lower end of the interval of the gain in rmse is {low:.5g} %, below --min-gain "
        f"{compared['gain_percent']:g} %; fit again, or ask for less\n"
    )


def test_what_is_missed_is_said_last_and_all_else_as_ever(model: Model, run: Run) -> None:
    model()
    plain, ended = run(*EVALUATE), run(*EVALUATE, "--max-rmse", 1, "--min-r2", 2, "--output", "out.json")
    assert ended.out == plain.out
    assert ended.code == 5
    assert ended.err.count("\n") == 1
    assert " above --max-rmse 1 and r2 is " in ended.err
    assert ended.err.endswith(", below --min-r2 2; fit again, or ask for less\n")
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
        "resmem: --min-gain and --max-mae cannot be judged: 240 of the 240 rows equal training rows; evaluate on at "
        "least 30 other rows"
    )


def test_a_value_that_is_not_known_reaches_nothing(model: Model, run: Run) -> None:
    model()
    write_csv(table("diamonds", "test").slice(0, 1), Path("one.csv"))
    ended = run("evaluate", "one.csv", "--model", "m", "--min-r2", 0)
    assert ended.code == 5
    assert ended.err == "resmem: r2 is not known, and --min-r2 is 0; fit again, or ask for less\n"


def test_a_memory_that_is_off_gains_nothing(model: Model, run: Run) -> None:
    model()
    assert run("fit-residual", "train.csv", "--model", "m", "--shrinkage", 0, "--quiet").code == 0
    assert run(*EVALUATE, "--min-gain", 0).code == 0
    assert run(*EVALUATE, "--min-gain", 0.1).code == 5


class TestRefused:
    @pytest.mark.parametrize(("option", "value"), [("--max-rmse", "nan"), ("--min-gain", "inf"), ("--min-r2", "-inf")])
    def test_numbers_that_are_no_limits(self, model: Model, fails: Fails, option: str, value: str) -> None:
        model()
        fails(2, f"{option} {value} is no limit; give a finite number", *EVALUATE, option, value)

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
