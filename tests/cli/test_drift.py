"""`resmem remember` first says how the rows look to the model as it is, and refuses what cannot be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.store import reading
from resmem_cli.workflow.drift import TIMES
from tests.cli.conftest import Run, snapshot
from tests.cli.test_change import SETTINGS, rows_of, write

Model = Callable[..., Path]
FOLDS = ("--folds", 5, "--neighbors", 6, "--bandwidth", 0.4, "--shrinkage", 0.8, "--temperature", 1)


@pytest.fixture
def fit(run: Run, model: Model) -> Callable[..., Path]:
    """Fit a linear base and a memory to a file."""
    model()

    def fitted(train: str = "train.csv", *words: object, base: tuple[object, ...] = ("--id", "id")) -> Path:
        own = ("--target", "price", "--estimator", "linear", *base, "--model", "m2", "--quiet")
        assert run("fit-base", train, *own).code == 0
        words = (*(words or SETTINGS), "--representation", "features")
        assert run("fit-residual", train, *words, "--model", "m2", "--quiet").code == 0
        return Path("m2")

    return fitted


def scaled(path: str, to: str, factor: float) -> str:
    return write(to, [row | {"price": str(float(row["price"]) * factor)} for row in rows_of(path)])


class TestMeasured:
    def test_the_metric_is_that_of_evaluate_before_and_the_shares_are_counted(self, run: Run, fit) -> None:
        path = fit("train.csv", *FOLDS)
        expected = json.loads(run("evaluate", "test.csv", "--model", path, "--json").out)["metrics"]["rmse"]
        run("predict", "test.csv", "--model", path, "--support", "--interval", 0.99, "--output", "p.csv", "--quiet")
        predicted = rows_of("p.csv")
        outside = [not float(r["lower"]) <= float(r["price"]) <= float(r["upper"]) for r in predicted]
        far = [float(r["distance_percentile"]) > 99 for r in predicted]
        ended = run("remember", "test.csv", "--model", path, "--json")
        found = json.loads(ended.out)["measured"]
        assert (found["metric"], found["rows"], found["unusual_residuals_by"]) == ("rmse", 80, "interval")
        np.testing.assert_allclose((found["base"], found["resmem"]), (expected["base"], expected["resmem"]))
        np.testing.assert_allclose(found["gain_percent"], expected["gain_percent"])
        assert found["unusual_residuals"] == np.mean(outside)
        assert found["unusual_distances"] == np.mean(far)
        assert ended.lines[0].startswith("remembered 80 rows: 320 now")
        assert ended.lines[1] == (
            f"rmse on 80 new rows, not remembered yet: base {found['base']:.5g}, with memory "
            f"{found['resmem']:.5g}, gain {found['gain_percent']:+.2f} %"
        )
        assert ended.lines[2] == (
            f"unusual rows (about 1 % is usual): {100 * np.mean(outside):.3g} % outside their 99 % prediction interval "
            f"or set, {100 * np.mean(far):.3g} % farther from all remembered rows than 99 % of these from each other"
        )

    def test_without_folds_residuals_are_compared_with_the_remembered_ones(self, run: Run, fit) -> None:
        stored, _ = reading.load_for_change(fit())
        (member,) = stored.resmem.members
        limit = np.quantile(np.abs(member.memory.contents.residuals), 0.99)
        run("predict", "test.csv", "--model", "m2", "--output", "p.csv", "--quiet")
        beyond = [abs(float(r["price"]) - float(r["prediction_base"])) > limit for r in rows_of("p.csv")]
        ended = run("remember", "test.csv", "--model", "m2", "--json")
        found = json.loads(ended.out)["measured"]
        assert (found["unusual_residuals"], found["unusual_residuals_by"]) == (np.mean(beyond), "remembered")
        assert (
            "beyond that of 99 % of the remembered rows (more is usual of a base that fits these closely), "
            in ended.err
        )

    def test_rows_like_those_that_are_remembered_are_hardly_unusual_and_others_are(self, run: Run, fit) -> None:
        path = fit("train.csv", *FOLDS)
        other = write("o.csv", [row | {"carat": "4.5", "price": "900"} for row in rows_of("test.csv")])
        odd = json.loads(run("remember", other, "--model", path, "--json", "--force").out)["measured"]
        assert odd["unusual_residuals"] > 0.5
        assert odd["unusual_distances"] > 0.5
        run("undo", "--model", path, "--quiet")
        usual = json.loads(run("remember", "test.csv", "--model", path, "--json").out)["measured"]
        assert usual["unusual_residuals"] < 0.06
        assert usual["unusual_distances"] < 0.06

    def test_classes_are_judged_by_the_sets_and_the_probability_of_the_true_class(self, run: Run, model: Model) -> None:
        path = model("chess")
        stored, known = reading.load_for_change(path)
        before = stored.resmem.members[0].memory
        residuals = before.contents.residuals
        limit = np.quantile(residuals.max(axis=1), 0.99)
        run("predict", "test.csv", "--model", path, "--probabilities", "--output", "p.csv", "--quiet")
        rows = rows_of("p.csv")
        lacking = [1 - float(row[f"probability_{row['depth']}"]) for row in rows]
        done = json.loads(run("remember", "test.csv", "--model", path, "--json").out)["measured"]
        assert (done["metric"], done["rows"], done["unusual_residuals_by"]) == ("log_loss", len(rows), "remembered")
        assert done["resmem"] == pytest.approx(-np.mean(np.log(np.maximum(1 - np.array(lacking), 1e-12))))
        new = reading.load_for_change(path)[0].resmem.members[0].memory.contents.residuals[len(known.hashes) :]
        assert done["unusual_residuals"] == np.mean(new.max(axis=1) > limit)

    def test_missing_values_and_unknown_categories_are_counted(self, run: Run, fit) -> None:
        rows = rows_of("test.csv")
        odd = [row | {"carat": ""} if i < 7 else row | {"cut": "New"} if i < 10 else row for i, row in enumerate(rows)]
        ended = run("remember", write("odd.csv", odd), "--model", fit(), "--json")
        found = json.loads(ended.out)["measured"]
        assert (found["missing_values"], found["unknown_categories"]) == ({"carat": 7}, {"cut": 3})
        assert ended.lines[-2:] == ["missing values: carat 7", "unknown categories: cut 3"]

    def test_rows_that_trained_the_base_are_not_new(self, run: Run, model: Model) -> None:
        model()
        own = ("--target", "price", "--estimator", "linear", "--id", "id", "--model", "m2", "--quiet")
        assert run("fit-base", "train.csv", *own).code == 0
        part = write("part.csv", rows_of("train.csv")[:150])
        assert (
            run("fit-residual", part, *SETTINGS, "--representation", "features", "--model", "m2", "--quiet").code == 0
        )
        more = write("more.csv", rows_of("train.csv")[150:] + rows_of("test.csv")[:30])
        found = json.loads(run("remember", more, "--model", "m2", "--json").out)
        assert (found["added"], found["measured"]["rows"]) == (120, 30)

    def test_weights_that_leave_few_rows_are_few_rows(self, run: Run, fit) -> None:
        """With one weight of a million, the metric is the residual of that row."""
        weighed = [row | {"w": "1"} for row in rows_of("train.csv")]
        path = fit(write("w.csv", weighed), base=("--id", "id", "--weight", "w"))
        heavy = [row | {"w": "1000000" if i == 0 else "1"} for i, row in enumerate(rows_of("test.csv"))]
        for n, (name, rows) in enumerate([("heavy.csv", heavy[:40]), ("even.csv", heavy[40:])]):
            assert (
                json.loads(run("remember", write(name, rows), "--model", path, "--json").out)["measured"]["rows"] == 40
            )
            assert (json.loads(run("history", "--model", path, "--json").out)[-1]["measured"] is None) == (n == 0)

    def test_few_rows_say_nothing_of_what_is_usual(self, run: Run, fit) -> None:
        path = fit(write("few.csv", rows_of("train.csv")[:60]))
        ended = run("remember", "test.csv", "--model", path, "--json")
        found = json.loads(ended.out)["measured"]
        assert (found["unusual_residuals"], found["unusual_distances"]) == (None, None)
        assert "unusual rows" not in ended.err


class TestEqualRows:
    def test_rows_without_ids_that_are_remembered_already_are_told_and_not_measured(self, run: Run, fit) -> None:
        path = fit(base=("--drop", "id"))
        known, new = rows_of("train.csv")[:5], rows_of("test.csv")[:20]
        ended = run("remember", write("mixed.csv", [*known, *new]), "--model", path, "--json")
        found = json.loads(ended.out)
        assert (found["equal"], found["measured"]["rows"], found["rows"]) == (5, 20, 265)
        assert "note: 5 of these rows equal remembered rows and count twice now" in ended.lines
        again = run("remember", write("known.csv", known[:1]), "--model", path, "--json")
        assert "note: 1 of these rows equals a remembered row and counts twice now" in again.lines
        found = json.loads(again.out)["measured"]
        assert (found["rows"], found["base"], found["resmem"]) == (0, None, None)
        assert "not remembered yet" not in again.err

    def test_rows_that_replace_themselves_do_not_count_twice(self, run: Run, fit) -> None:
        ended = run("remember", "train.csv", "--model", fit(), "--json")
        assert json.loads(ended.out)["equal"] == 0
        assert "count twice" not in ended.err


class TestRefused:
    def test_targets_a_thousand_times_too_large_are_refused_as_a_whole(self, run: Run, fit, fails) -> None:
        path = fit()
        bad = scaled("test.csv", "bad.csv", 1_000)
        known = np.abs(reading.load_for_change(path)[0].resmem.members[0].memory.contents.residuals)
        large = np.sort(known[:, 0])[-2]  # of 240 rows
        run("predict", bad, "--model", path, "--output", "p.csv", "--quiet")
        found = {row["id"]: abs(float(row["price"]) - float(row["prediction_base"])) for row in rows_of("p.csv")}
        worst = max(found, key=lambda name: found[name])
        n_beyond = sum(residual > TIMES * large for residual in found.values())
        fails(
            ExitCode.DATA,
            f"{n_beyond} of 80 rows have residuals larger than {TIMES * large:,.0f}, which is 100 times the 99.9 % "
            f"quantile of the remembered ones: up to {found[worst]:,.0f} (id '{worst}'), so none was remembered; check "
            "'price' and its units, or allow more with --max-residual or --force",
            *("remember", bad, "--model", path),
        )

    def test_one_such_row_is_enough(self, run: Run, fit) -> None:
        path, rows = fit(), rows_of("test.csv")
        before = snapshot(path)
        rows[30]["price"] = "9999999"
        ended = run("remember", write("one.csv", rows), "--model", path)
        assert ended.code == ExitCode.DATA
        assert ended.err.startswith("resmem: 1 of 80 rows has a residual larger than ")
        assert f"(id '{rows[30]['id']}')" in ended.err
        assert snapshot(path) == before

    def test_who_means_it_can_remember_them(self, run: Run, fit) -> None:
        path, bad = fit(), scaled("test.csv", "bad.csv", 1_000)
        assert run("remember", bad, "--model", path, "--max-residual", 1e9).code == 0
        run("undo", "--model", path, "--quiet")
        assert "remembered 80 rows: 320 now" in run("remember", bad, "--model", path, "--force").err

    def test_a_bound_of_ones_own_may_be_narrower(self, run: Run, fit) -> None:
        path = fit()
        before = snapshot(path)
        ended = run("remember", "test.csv", "--model", path, "--max-residual", 50)
        assert ended.code == ExitCode.DATA
        assert "residuals larger than 50, which is what --max-residual allows: up to " in ended.err
        assert snapshot(path) == before

    def test_degrees_celsius_are_refused_where_targets_are_nearly_equal_kelvins(self, run: Run, fit) -> None:
        """What is typical of the targets says nothing of what they may differ by."""
        kelvin = [
            row | {"price": str(290 + float(row["carat"]) + 0.3 * (i % 3))}
            for i, row in enumerate(rows_of("train.csv"))
        ]
        path = fit(write("kelvin.csv", kelvin[:200]), base=("--features", "carat", "--id", "id"))
        celsius = write("c.csv", [row | {"price": str(float(row["price"]) - 273.15)} for row in kelvin[200:]])
        ended = run("remember", celsius, "--model", path)
        assert (ended.code, "40 of 40 rows have residuals larger than" in ended.err) == (ExitCode.DATA, True)
        assert run("remember", write("k.csv", kelvin[200:]), "--model", path).code == 0

    def test_residuals_that_were_all_0_say_nothing_of_new_ones(self, run: Run, model: Model) -> None:
        model()
        zeros = [row | {"price": "0", "own": "0"} for row in rows_of("train.csv")]
        known = [row | {"price": "5", "own": "5"} for row in zeros[:20]] + zeros[20:200]
        words = ("--target", "price", "--predictions", "own", "--id", "id", "--model", "m2", "--quiet")
        assert run("fit-base", write("zeros.csv", known), *words).code == 0
        assert run("fit-residual", "zeros.csv", *SETTINGS, "--model", "m2", "--quiet").code == 0
        some = [row | {"price": "0" if i % 4 else "12.5"} for i, row in enumerate(zeros[200:])]
        ended = run("remember", write("some.csv", some), "--model", "m2")
        assert ended.code == 0
        assert "note: all remembered residuals are about 0, from which no bound for new ones follows" in ended.lines

    def test_a_row_that_was_forced_does_not_switch_the_bound_off(self, run: Run, fit) -> None:
        path, rows = fit(), rows_of("test.csv")
        assert run("remember", write("1.csv", [rows[0] | {"price": "1e9"}]), "--model", path, "--force").code == 0
        assert run("remember", scaled("test.csv", "bad.csv", 1_000), "--model", path).code == ExitCode.DATA

    def test_a_row_is_judged_alone_whatever_is_in_the_same_file(self, run: Run, fit) -> None:
        path, rows = fit(), rows_of("test.csv")
        odd = rows[0] | {"price": str(900_000 + float(rows[0]["price"]))}
        for others in ([], rows[1:], [row | {"price": str(1e6)} for row in rows[1:]]):
            ended = run("remember", write("some.csv", [odd, *others]), "--model", path)
            assert (ended.code, "larger than 621,849, which" in ended.err) == (ExitCode.DATA, True)

    def test_features_that_are_wrong_are_refused_too(self, run: Run, fit) -> None:
        """The line goes far out with them, and the targets show that."""
        wrong = [row | {"carat": str(1e5 * float(row["carat"]))} for row in rows_of("test.csv")]
        ended = run("remember", write("wrong.csv", wrong), "--model", fit())
        assert ended.code == ExitCode.DATA
        assert "80 of 80 rows have residuals larger than" in ended.err

    def test_residuals_of_classes_are_bounded_and_never_refused(self, run: Run, model: Model, fails) -> None:
        path = model("chess")
        fails(
            ExitCode.USAGE,
            "--max-residual is for regression: residuals of probabilities are at most 1; leave it out",
            *("remember", "test.csv", "--model", path, "--max-residual", 0.5),
        )
        other = [row | {"depth": "draw"} for row in rows_of("test.csv")]
        assert run("remember", write("draws.csv", other), "--model", path).code == 0

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("--max-residual", -1), "-1 is not a number of 0 or more"),
            (("--max-residual", "nan"), "nan is not a number of 0 or more"),
            (("--max-residual", 5, "--force"), "--max-residual and --force exclude each other"),
            (("--keep", -1), "'--keep': Input should be greater than or equal to 0"),
            (("--keep", 101), "'--keep': Input should be less than or equal to 100"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, run: Run, model: Model, words, sentence) -> None:
        ended = run("remember", "test.csv", "--model", model(), *words)
        assert ended.code == ExitCode.USAGE
        assert sentence in ended.err
