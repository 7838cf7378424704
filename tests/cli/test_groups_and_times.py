"""--group and --time: said once to fit-base, kept in the schema, obeyed by later commands, and true on new rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.data.relations import Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema, Target, Task
from resmem_cli.store import manifest
from tests.cli.conftest import Ended, Run

DATA, USAGE = ExitCode.DATA, ExitCode.USAGE
QUICK = ("--effort", "quick")
_SCHEMA = Schema((), Target("y", Task.REGRESSION, "double"))


def customers(seed: int, n: int = 60, *, each: int = 10) -> pa.Table:
    """Rows of a customer are near each other, and alike in what no feature says."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(n), each)
    X = rng.normal(size=(n, 3))[who] + rng.normal(0, 0.02, (n * each, 3))
    y = X[:, 0] + rng.normal(0, 3, n)[who] + rng.normal(0, 0.3, n * each)
    names = pa.array([f"{seed}-{each}" for each in who])
    return pa.table({"customer": names, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})


def days(start: int, stop: int) -> pa.Table:
    """A random walk, day by day, beside a feature."""
    rng = np.random.default_rng(3)
    x, level = rng.normal(size=1_200), np.cumsum(rng.normal(size=1_200))
    date = np.datetime64("2020-01-01") + np.arange(1_200)
    return pa.table({"day": date.astype("datetime64[D]"), "x": x, "y": 2 * level + x}).slice(start, stop - start)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(table: pa.Table, name: str = "train.parquet") -> str:
        pq.write_table(table, tmp_path / name)
        return name

    return write


@pytest.fixture
def fit(run: Run) -> Callable[..., dict[str, object]]:
    """Fit both models, and return what fit-residual says in JSON."""

    def fitted(train: str, *words: object, estimator: str = "linear", memory: tuple[object, ...] = ()) -> dict:
        base = run("fit-base", train, "--target", "y", "--estimator", estimator, "--model", "m", *words)
        assert base.code == 0, base.err
        done = run("fit-residual", train, "--model", "m", *QUICK, "--json", *memory)
        assert done.code == 0, done.err
        return {**json.loads(done.out), "said": done.err, "base said": base.err}

    return fitted


def gain(ended: Ended) -> float:
    return json.loads(ended.out)["metrics"]["rmse"]["gain_percent"]


def loaded_again(seed: int, n: int = 300) -> pa.Table:
    """Noise beside a line, and every row twice: as it was loaded on one day, and on another."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = X[:, 0] + rng.normal(size=n)
    twice = np.tile(np.arange(n), 2)
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, 2 * n)
    columns = {name: values[twice] for name, values in zip("abcy", (*X.T, y), strict=True)}
    return pa.table({**columns, "loaded": day.astype("datetime64[D]")})


def test_a_gain_by_copies_that_were_loaded_on_other_days_is_not_promised(file, fit) -> None:
    done = fit(file(loaded_again(0)), estimator="boosting")
    assert done["measured"]["gain_percent"] < 5
    for said in (done["said"], done["base said"]):
        assert "note: most rows are equal to others in the target and in every feature but 'loaded'" in said
    named = fit(file(loaded_again(0)), "--time", "loaded", estimator="boosting")
    assert "are equal to others" not in named["said"] + named["base said"]


def test_copies_with_a_little_noise_are_said(file, fit) -> None:
    table = loaded_again(0).drop_columns("loaded")
    rng = np.random.default_rng(1)
    noisy = pa.table(
        {name: table[name].to_numpy() + 0.003 * rng.normal(size=len(table)) for name in table.column_names}
    )
    done = fit(file(noisy))
    assert done["uses_memory"]
    assert "most rows have others at less than a fifth of the distance of the next" in done["said"]


def test_a_gain_among_a_customers_own_rows_is_not_promised_to_new_ones(file, fit, run) -> None:
    train, new = file(customers(1)), file(customers(2), "new.parquet")
    blind = fit(train, "--drop", "customer")
    assert blind["measured"]["gain_percent"] > 50
    assert gain(run("evaluate", new, "--model", "m", "--json")) < 0
    grouped = fit(train, "--group", "customer")
    assert not grouped["uses_memory"]
    assert grouped["measured"]["gain_percent"] < grouped["measured"]["standard_error_percent"]
    assert (grouped["measured"]["group"], grouped["measured"]["time"]) == ("customer", None)
    assert "no group of 'customer' in both" in grouped["said"]
    assert gain(run("evaluate", new, "--model", "m", "--json")) == 0


def test_a_gain_from_the_days_around_is_not_promised_to_later_ones(file, fit, run) -> None:
    train, later = file(days(0, 900)), file(days(900, 1_200), "later.parquet")
    assert fit(train)["measured"]["gain_percent"] > 50
    assert gain(run("evaluate", later, "--model", "m", "--json")) < 50
    ordered = fit(train, "--time", "day")
    assert not ordered["uses_memory"]
    assert ordered["measured"]["rows"] == 450
    assert "by earlier rows, 'day'" in ordered["said"]


def test_the_schema_keeps_both_and_predicting_needs_neither(file, fit, run) -> None:
    rows = customers(1).append_column("when", pa.array(np.arange(600) % 50))
    fit(file(rows), "--group", "customer", "--time", "when", "--drop", "when")
    schema = json.loads(Path("m", manifest.BASE).read_text())["schema"]
    assert (schema["group_column"], schema["time_column"]) == ("customer", "when")
    assert [column["name"] for column in schema["columns"]] == ["a", "b", "c"]
    new = file(rows.drop_columns(["customer", "when", "y"]), "new.parquet")
    assert run("predict", new, "--model", "m", "--output", "p.csv").code == 0
    assert run("evaluate", file(rows.drop_columns(["customer", "when"]), "t.parquet"), "--model", "m").code == 0
    assert run("remember", file(rows.drop_columns(["customer", "when"]), "r.parquet"), "--model", "m").code == 0
    assert run("inspect", "--model", "m").code == 0


def test_a_time_stays_a_feature_if_it_is_not_dropped(file, fit) -> None:
    fit(file(days(0, 300)), "--time", "day")
    assert "day" in [each["name"] for each in json.loads(Path("m", manifest.BASE).read_text())["schema"]["columns"]]


def test_fit_residual_takes_them_for_a_base_that_was_fitted_without(file, fit) -> None:
    train = file(customers(1))
    done = fit(train, "--drop", "customer", memory=("--group", "customer"))
    assert not done["uses_memory"]
    assert done["measured"]["group"] == "customer"
    folds = json.loads(Path("m", manifest.MEMORY).read_text())["folds"]
    assert (folds["group_column"], folds["time_column"]) == ("customer", None)
    later = fit(file(days(0, 900)), memory=("--time", "day"))
    assert (later["measured"]["time"], later["uses_memory"]) == ("day", False)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_any_format_gives_the_same_groups_and_times(run, tmp_path, suffix) -> None:
    rows = customers(1, 20).append_column("day", days(0, 200)["day"])
    if suffix == "parquet":
        pq.write_table(rows, tmp_path / "train.parquet")
    else:
        frame = rows.to_pandas()
        frame["day"] = frame["day"].astype(str)
        text = frame.to_csv(index=False) if suffix == "csv" else frame.to_json(orient="records", lines=True)
        (tmp_path / f"train.{suffix}").write_text(text)
    words = ("--target", "y", "--group", "customer", "--time", "day", "--drop", "day", "--estimator", "constant")
    assert run("fit-base", f"train.{suffix}", *words, "--model", "m").code == 0
    done = run("fit-residual", f"train.{suffix}", "--model", "m", *QUICK, "--json")
    assert done.code == 0
    # 4 blocks of a tenth hold rows of groups that are new there: 20 customers come one after the other.
    assert json.loads(done.out)["measured"]["rows"] == 100


def test_rows_without_a_group_or_a_time_are_told(file, fit) -> None:
    rows = customers(1)
    names = rows["customer"].to_pylist()
    rows = rows.set_column(0, "customer", pa.array([None] * 3 + names[3:]))
    rows = rows.append_column("t", pa.array([None] * 5 + list(range(595)), pa.float64()))
    done = fit(file(rows), "--group", "customer", "--time", "t")
    for said in (done["said"], done["base said"]):
        assert "note: 3 rows have no value of 'customer': each counts as a group of its own" in said
        assert "note: 5 rows have no time 't': they are taken as the earliest" in said


def test_fewer_groups_than_folds_measure_nothing(file, fit) -> None:
    done = fit(file(customers(1, 3, each=40)), "--group", "customer")
    assert done["measured"] is None
    assert not done["uses_memory"]
    assert (
        "note: the rows that can be held out are fewer than 30, or of fewer groups of 'customer' than there are folds, "
        "so no gain is measured and the memory is off; give more rows, or lower --folds\n"
    ) in done["said"]
    three = fit(file(customers(1, 3, each=40)), "--group", "customer", memory=("--folds", 3))
    assert three["measured"]["folds"] == 3


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ("--group", "custmer"),
            DATA,
            "train.parquet has no column 'custmer'; did you mean 'customer'? Its columns are: customer, a, b, c, y, t",
        ),
        (
            ("--group", "t"),
            DATA,
            "all 600 rows have the same group 't'; give rows of several groups, or leave --group out",
        ),
        (("--time", "t"), DATA, "all rows have the same time 't'; give rows of several times, or leave --time out"),
        (
            ("--time", "customer"),
            DATA,
            "train.parquet, row 1: column 'customer' holds '1-0', which is not an ISO 8601 date or time, so that "
            "--time cannot use it; write dates as 2023-01-31, use numbers, or name another column",
        ),
        (
            ("--group", "customer", "--time", "customer"),
            USAGE,
            "one column is given two of the roles --target, --id, --weight, --group and --time; give each its own "
            "column",
        ),
        (
            ("--group", "y"),
            USAGE,
            "one column is given two of the roles --target, --id, --weight and --group; give each its own column",
        ),
        (
            ("--group", "a", "--features", "a,b"),
            USAGE,
            "'a' is named in --features and has another role; take it out of one of them",
        ),
    ],
)
def test_columns_that_cannot_be_used(file, fails, words, code, sentence) -> None:
    train = file(customers(1).append_column("t", pa.array([1.5] * 600)))
    fails(code, sentence, "fit-base", train, "--target", "y", "--model", "m", *words)


def test_times_that_are_all_missing(file, fails) -> None:
    train = file(customers(1).append_column("t", pa.array([None] * 600, pa.float64())))
    sentence = "no row has a time 't'; name another column with --time"
    fails(DATA, sentence, "fit-base", train, "--target", "y", "--model", "m", "--time", "t", "--drop", "t")


def test_fit_residual_needs_the_columns_that_fit_base_was_told(file, fit, fails) -> None:
    train = file(customers(1))
    fit(train, "--group", "customer")
    less = file(customers(1).drop_columns(["customer"]), "less.parquet")
    sentence = "less.parquet lacks the column 'customer', which the model needs; add it; the file has: a, b, c, y"
    fails(DATA, sentence, "fit-residual", less, "--model", "m", *QUICK)
    sentence = (
        "--group is 'a', and the base was fitted with --group customer; leave --group out, or run fit-base with "
        "--group a"
    )
    fails(USAGE, sentence, "fit-residual", train, "--model", "m", "--group", "a", *QUICK)
    sentence = "--time names 'y', which has another role; name another column with --time"
    fails(USAGE, sentence, "fit-residual", train, "--model", "m", "--time", "y", *QUICK)


def test_rows_to_decide_by_of_known_customers_leave_them_out(file, fit, run) -> None:
    rows = customers(1)
    train, valid = file(rows.slice(0, 400)), file(rows.slice(300), "valid.parquet")
    fit(train, "--group", "customer")
    done = run("fit-residual", train, "--model", "m", "--valid", valid, *QUICK, "--json")
    assert done.code == 0
    assert json.loads(done.out)["measured"]["gain_percent"] < 10


def test_dates_in_one_file_and_numbers_in_the_other(file, fit, run) -> None:
    train = file(days(0, 600))
    fit(train, "--time", "day", "--drop", "day")
    numbers = days(600, 800).set_column(0, "day", pa.array(np.arange(200)))
    done = run("fit-residual", train, "--model", "m", "--valid", file(numbers, "valid.parquet"), *QUICK)
    assert done.code == DATA
    assert "the time 'day' is a number in some rows and a date in others; give all times in one form" in done.err


# Where nobody says it


def notes_of(done: dict[str, object]) -> list[str]:
    return [line for line in str(done["said"]).splitlines() if "alike" in line]


@pytest.mark.parametrize("role", ["a feature", "dropped", "the id"])
def test_groups_that_nobody_named_are_told(file, fit, role) -> None:
    words = {"a feature": (), "dropped": ("--drop", "customer"), "the id": ("--id", "customer")}[role]
    (note,) = notes_of(fit(file(customers(1)), *words))
    assert note.startswith("note: rows of one 'customer' are alike: their neighbours explain ")
    assert note.endswith("run fit-base and fit-residual again with --group customer")
    assert notes_of(fit(file(customers(1)), "--group", "customer")) == []


@pytest.mark.parametrize("name", ["day", "the file"])
def test_an_order_that_nobody_named_is_told(file, fit, name) -> None:
    rows = days(0, 900)
    where, option = "in 'day'", "--time day"
    if name == "the file":
        rows = rows.set_column(0, "number", pa.array(np.arange(900) * 1.5))
        where, option = "in the file", "--time COLUMN"
    (note,) = notes_of(fit(file(rows)))
    assert f"rows near each other {where} are alike" in note
    assert note.endswith(f"again with {option}")


def test_rows_of_their_own_are_left_in_peace(file, fit) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (1_200, 2))
    y = np.sin(3 * X[:, 0]) + np.cos(3 * X[:, 1]) + rng.normal(0, 0.1, 1_200)
    named = {
        "shop": pa.array(rng.integers(0, 60, 1_200)),
        "code": pa.array(rng.integers(0, 50, 1_200)).cast(pa.string()),
    }
    done = fit(file(pa.table({"a": X[:, 0], "b": X[:, 1], **named, "y": y})), "--drop", "code")
    assert done["uses_memory"]
    assert notes_of(done) == []


# What evaluate and compare make of groups


def test_intervals_are_those_of_whole_groups_where_the_input_tells_them(file, fit, run) -> None:
    """A memory of a customer's own rows, on further rows of the same customers."""
    train = file(customers(1))
    fit(train, "--group", "customer", memory=("--shrinkage", "1"))
    test = customers(1).slice(0, 300)
    test = test.set_column(1, "a", pa.array(test["a"].to_numpy() + 0.001))
    alone = test.drop_columns(["customer"])
    of_rows = json.loads(run("evaluate", file(alone, "alone.parquet"), "--model", "m", "--json").out)
    ended = run("evaluate", file(test, "test.parquet"), "--model", "m", "--json", "--by", "a")
    of_groups = json.loads(ended.out)
    assert (of_rows["groups"], of_groups["groups"]) == (None, 30)
    first, second = of_rows["metrics"]["rmse"], of_groups["metrics"]["rmse"]
    assert first["gain_percent"] == second["gain_percent"]
    assert np.ptp(second["ci95"]) > 1.3 * np.ptp(first["ci95"])
    assert {each["interval"][0] for each in of_groups["by"]["slices"]} == {None}  # of 12 or so groups each
    assert "300 rows of 30 groups." in run("evaluate", "test.parquet", "--model", "m").out
    assert (
        "No slice has an interval: each has fewer than 30 groups."
        in run("evaluate", "test.parquet", "--model", "m", "--by", "a").out
    )
    compared = run("compare", "m", "m", "test.parquet", "--json")
    assert compared.code == 0
    assert json.loads(compared.out)["metrics"]["rmse"]["gain"] == 0


def test_too_few_groups_reach_nothing(file, fit, run) -> None:
    """Of rows as if they were independent the interval would be far too narrow."""
    fit(file(customers(1)), "--group", "customer", memory=("--shrinkage", "1"))
    test = customers(2, 20, each=40)
    one, too_few, enough = (file(test.slice(0, 40 * n), f"{n}.parquet") for n in (1, 19, 20))
    words = ("--model", "m", "--min-gain", -10_000)
    ended = run("evaluate", one, *words, "--json")
    found = json.loads(ended.out)
    assert found["metrics"]["rmse"]["ci95"] == [None, None]
    assert (found["rows"], found["groups"], found["times"], found["can_judge"]) == (40, 1, None, False)
    missed = "rows of {} are too few to judge by"
    needed = "evaluate on such rows of at least 20 groups"
    assert (ended.code, ended.err) == (5, f"resmem: --min-gain is not reached: {missed.format('1 group')}; {needed}\n")
    ended = run("evaluate", too_few, *words)
    assert (ended.code, ended.err) == (
        5,
        f"resmem: --min-gain is not reached: {missed.format('19 groups')}; {needed}\n",
    )
    assert f", but {missed.format('19 groups')}: {needed}." in ended.out
    assert run("evaluate", enough, *words).code == 0
    assert run("compare", "m", "m", too_few, "--json").code == 0


def test_groups_that_only_fit_residual_was_told_are_kept(file, fit, run, tmp_path) -> None:
    rows = customers(1)
    train, test = file(rows), file(customers(2, 20), "test.parquet")
    fit(train, "--drop", "customer", memory=("--group", "customer", "--shrinkage", "1"))
    ended = run("evaluate", test, "--model", "m", "--json")
    assert json.loads(ended.out)["groups"] == 20
    assert "\n200 rows of 20 groups. The memory " in run("evaluate", test, "--model", "m").out
    assert "\nmemory: 600 rows, group 'customer', made " in run("inspect", "--model", "m").out
    (tmp_path / "m").rename(tmp_path / "other")
    fit(train, "--drop", "customer", memory=("--shrinkage", "1"))
    for pair in (("m", "other"), ("other", "m")):
        assert "\n200 rows of 20 groups. " in run("compare", *pair, test).out
    alone = file(customers(2, 20).drop_columns(["customer"]), "alone.parquet")
    note = "note: the rows have no 'customer', the groups that the model was fitted with: intervals may be too narrow\n"
    assert run("evaluate", alone, "--model", "other").err == note
    assert run("compare", "m", "other", alone).err == note
    assert run("evaluate", alone, "--model", "m").err == ""


@pytest.mark.parametrize("told", ["fit-base", "fit-residual"])
def test_rows_of_a_time_are_drawn_together(file, fit, run, told) -> None:
    rng = np.random.default_rng(0)
    day, x = np.repeat(np.arange(90), 10), rng.normal(size=900)
    y = x + np.repeat(np.cumsum(rng.normal(size=90)), 10)
    rows = pa.table({"day": day, "x": x, "y": y})
    time = ("--time", "day")
    base, memory = (time, ()) if told == "fit-base" else ((), time)
    fit(file(rows.slice(0, 600)), *base, memory=(*memory, "--shrinkage", "1"))
    later = json.loads(run("evaluate", file(rows.slice(600), "later.parquet"), "--model", "m", "--json").out)
    assert (later["rows"], later["times"], later["groups"]) == (300, 30, None)
    assert "\n300 rows of 30 times. " in run("evaluate", "later.parquet", "--model", "m").out
    few = run("evaluate", file(rows.slice(600, 90), "few.parquet"), "--model", "m", "--max-rmse", 1e9)
    assert few.code == 5
    assert few.err == (
        "resmem: --max-rmse is not reached: rows of 9 times are too few to judge by; evaluate on such rows of at least "
        "20 times\n"
    )


# Rows that are new to a base, of groups and times that are not


@pytest.mark.parametrize("is_known", [True, False])
def test_new_rows_of_groups_that_trained_the_base_do_not_judge_it(file, run, is_known) -> None:
    """The base has seen one half of every customer's rows, or all rows of half of the customers."""
    rows = customers(1)
    number = np.arange(600)
    trained = number % 2 == 0 if is_known else number < 300
    base, others = file(rows.filter(pa.array(trained)), "base.parquet"), file(rows.filter(pa.array(~trained)))
    run("fit-base", base, "--target", "y", "--estimator", "boosting", "--group", "customer", "--model", "m")
    done = run("fit-residual", others, "--model", "m", *QUICK, "--json")
    assert done.code == 0
    measured = json.loads(done.out)["measured"]
    assert measured["refitted"] == is_known
    assert measured["gain_percent"] < 10


@pytest.mark.parametrize("is_later", [True, False])
def test_new_rows_that_are_earlier_than_what_trained_the_base_do_not_judge_it(file, run, is_later) -> None:
    rows = days(0, 900)
    base, others = rows.slice(0, 450), rows.slice(450)
    if not is_later:
        base, others = others, base
    run("fit-base", file(base, "base.parquet"), "--target", "y", "--time", "day", "--estimator", "linear", "-m", "m")
    done = run("fit-residual", file(others), "--model", "m", *QUICK, "--json")
    assert json.loads(done.out)["measured"]["refitted"] == (not is_later)


def test_valid_rows_of_known_groups_are_refused(file, fails, run) -> None:
    rows = customers(1)
    even, odd = (file(rows.filter(pa.array(np.arange(600) % 2 == i)), f"{i}.parquet") for i in (0, 1))
    run("fit-base", even, "--target", "y", "--estimator", "linear", "--group", "customer", "--model", "m")
    sentence = (
        "the base was trained on every row of --valid or of its group, or on later rows; give labelled rows that the "
        "base was not trained on"
    )
    fails(USAGE, sentence, "fit-residual", even, "--valid", odd, "--model", "m", *QUICK)


def test_forget_erases_the_groups_that_only_forgotten_rows_had(file, fit, run) -> None:
    rows = customers(1).append_column("id", pa.array(np.arange(600)))
    fit(file(rows), "--group", "customer", "--id", "id")
    of_first = Relations.of(Rows(rows.slice(0, 1), (), is_text=False), replace(_SCHEMA, group_column="customer"))
    known = of_first.groups.tobytes()
    assert any(known in path.read_bytes() for path in Path("m").rglob("*.npz"))
    assert run("forget", "--ids", ",".join(map(str, range(10))), "--model", "m").code == 0
    assert not any(known in path.read_bytes() for path in Path("m").rglob("*.npz"))


def test_fewer_than_thirty_rows_that_can_be_held_out_measure_nothing(file, fit) -> None:
    done = fit(file(days(0, 58)), "--time", "day")
    assert done["measured"] is None
    assert (
        "note: the rows that can be held out are fewer than 30, or of fewer times 'day' than there are" in done["said"]
    )
    assert fit(file(days(0, 70)), "--time", "day")["measured"]["rows"] >= 30
