"""`resmem evaluate --by`: the gain by slices of the rows, and where it stands out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from resmem_cli.cli.slices import print_slices
from resmem_cli.model.slices import Finding, SliceGain
from resmem_cli.workflow.slices import Slice, Slices
from tests.cli.conftest import Run, table, write_csv
from tests.cli.test_tables import on_terminal

Model = Callable[..., Path]
Fails = Callable[..., None]
BONFERRONI = (
    'Slices that add least to the gain in rmse come first. {} with 95 % (Bonferroni). "-": fewer than 30 rows, or most '
    "of the loss in a few rows."
)


def by(run: Run, *words: object) -> dict[str, object]:
    ended = run("evaluate", *words, "--model", "m", "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)["by"]


@pytest.fixture
def made(model: Model, run: Run) -> pa.Table:
    """Write rows.parquet, none of which was seen: targets are near the base's predictions where the cut is Premium, so
    that the memory harms there, and near the model's elsewhere. A column `shop` is no feature.
    """
    model()
    rows = pa.concat_tables([table("diamonds", "train"), table("diamonds", "test")])
    pyarrow.parquet.write_table(rows, "rows.parquet")
    assert run("predict", "rows.parquet", "--model", "m", "--output", "predicted.parquet", "--quiet").code == 0
    predicted = pyarrow.parquet.read_table("predicted.parquet")
    is_premium = np.array(rows["cut"].to_pylist()) == "Premium"
    noise = 50 * np.random.default_rng(0).normal(size=len(rows))
    near = np.where(is_premium, predicted["prediction_base"].to_numpy(), predicted["prediction"].to_numpy())
    shops = [("north", "south", None)[i % 3] for i in range(len(rows))]
    changed = rows.set_column(rows.column_names.index("price"), "price", pa.array(near + noise))
    changed = changed.append_column("shop", pa.array(shops))
    pyarrow.parquet.write_table(changed, "rows.parquet")
    return changed.append_column("base", predicted["prediction_base"]).append_column("resmem", predicted["prediction"])


def test_every_slice_has_the_figures_of_its_rows(made: pa.Table, run: Run) -> None:
    found = by(run, "rows.parquet", "--by", "cut", "--by", "shop,carat")
    assert (found["metric"], found["rows"], found["columns"]) == ("rmse", 320, ["cut", "shop", "carat"])
    assert [each["column"] for each in found["slices"]] == sorted(
        (each["column"] for each in found["slices"]), key=["cut", "shop", "carat"].index
    )
    y, base, resmem = (made[name].to_numpy() for name in ("price", "base", "resmem"))
    for column in ("cut", "shop"):
        values = np.array([value or "(missing)" for value in made[column].to_pylist()])
        slices = [each for each in found["slices"] if each["column"] == column]
        assert {each["value"] for each in slices} == set(values)
        for each in slices:
            which = values == each["value"]
            errors = [np.sqrt(np.mean((y - p)[which] ** 2)) for p in (base, resmem)]
            assert each["rows"] == which.sum()
            assert [each["base"], each["resmem"]] == pytest.approx(errors)
            assert each["gain_percent"] == pytest.approx(100 * (1 - errors[1] / errors[0]))
            assert (each["interval"] == [None, None]) == (each["rows"] < 30)
        assert [each["contribution"] for each in slices] == sorted(each["contribution"] for each in slices)
    assert found["judged_slices"] == sum(each["rows"] >= 30 for each in found["slices"])


def test_people_get_a_table_per_column(made: pa.Table, run: Run) -> None:
    ended = run("evaluate", "rows.parquet", "--model", "m", "--by", "cut,carat")
    first, second = ended.out.split("\n\n")[2:4]
    assert first.splitlines()[0].split() == ["cut", "rows", "base", "resmem", "gain", "%", "95", "%", "interval"]
    assert first.splitlines()[2].startswith("Premium ")  # the largest loss
    assert second.startswith("carat (quantiles) ")
    assert len(second.splitlines()) == 2 + 5
    found = by(run, "rows.parquet", "--by", "cut,carat")["slices"]
    n_intervals = sum(each["interval"] != [None, None] for each in found)
    hold = BONFERRONI.format(f"All {n_intervals} intervals hold together")
    assert ended.out.endswith(f"\n{hold}\nThe memory harms where cut = Premium.\n")


def test_csv_and_parquet_have_the_same_slices(made: pa.Table, run: Run) -> None:
    pyarrow.csv.write_csv(made.drop_columns(["base", "resmem"]), "rows.csv")
    names = ("--by", "cut,carat,shop,price")
    assert by(run, "rows.csv", *names) == by(run, "rows.parquet", *names)


class TestAuto:
    def test_finds_where_the_memory_harms(self, made: pa.Table, run: Run) -> None:
        found = by(run, "rows.parquet", "--by", "auto")
        harmed = [(each["column"], each["value"]) for each in found["slices"] if each["finding"] == "harms"]
        assert harmed == [("cut", "Premium")]
        assert found["columns"] == ["carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"]
        ended = run("evaluate", "rows.parquet", "--model", "m", "--by", "auto")
        n_slices, n_judged = len(found["slices"]), found["judged_slices"]
        assert n_judged < n_slices
        assert (
            f"\n\nLooked at {n_slices} slices of 9 features, {n_judged} with at least 30 rows. The probability that "
            "any stands out by chance is at most 5 % (Bonferroni).\n\nThe memory harms:\n"
        ) in ended.out
        assert "\ncut = Premium " in ended.out
        assert "\ncut = Ideal " not in ended.out.partition("The memory gains more")[0]

    def test_says_when_there_is_nothing(self, made: pa.Table, run: Run) -> None:
        rng = np.random.default_rng(0)
        position = made.column_names.index("price")
        noisy = made.set_column(position, "price", pa.array(made["base"].to_numpy() + 9_000 * rng.normal(size=320)))
        pyarrow.parquet.write_table(noisy, "rows.parquet")
        ended = run("evaluate", "rows.parquet", "--model", "m", "--by", "auto")
        found = by(run, "rows.parquet", "--by", "auto")
        n_slices, n_judged = len(found["slices"]), found["judged_slices"]
        assert ended.out.endswith(
            f"\nLooked at {n_slices} slices of 9 features, {n_judged} with at least 30 rows: in none of them does the "
            "memory clearly harm rmse, or gain clearly less or more than in the other rows.\n"
        )

    def test_leaves_out_features_that_are_constant_here(self, made: pa.Table, run: Run) -> None:
        position = made.column_names.index("cut")
        pyarrow.parquet.write_table(made.set_column(position, "cut", pa.array(["Good"] * 320)), "rows.parquet")
        assert by(run, "rows.parquet", "--by", "auto")["left_out_columns"] == ["cut"]
        ended = run("evaluate", "rows.parquet", "--model", "m", "--by", "auto")
        assert " of 8 features (left out, with one value or too many: cut)" in ended.out

    def test_leaves_out_a_feature_whose_values_all_differ(self, made: pa.Table, run: Run) -> None:
        position = made.column_names.index("color")
        names = pa.array([f"color {i}" for i in range(320)])
        pyarrow.parquet.write_table(made.set_column(position, "color", names), "rows.parquet")
        assert by(run, "rows.parquet", "--by", "auto")["left_out_columns"] == ["color"]
        ended = run("evaluate", "rows.parquet", "--model", "m", "--by", "color")
        assert ended.code == 3
        assert "column 'color' has 320 different values in 320 rows, too many to compare; name a column" in ended.err

    def test_stands_alone(self, model: Model, fails: Fails) -> None:
        fails(
            2,
            "--by auto cannot be combined with columns; give auto or columns",
            *("evaluate", "test.csv", "--model", model(), "--by", "auto,cut"),
        )


class TestColumns:
    @pytest.mark.parametrize("names", ["", ",", " , "])
    def test_none(self, model: Model, fails: Fails, names: str) -> None:
        fails(
            2,
            "--by names no column; name one, or give auto",
            *("evaluate", "test.csv", "--model", model(), "--by", names),
        )

    def test_with_spaces_around_them(self, model: Model, fails: Fails) -> None:
        fails(
            3,
            "test.csv lacks the column ' color', which --by names; did you mean 'color' (which differs in the spaces "
            "around it)? Correct --by; the file has: id, carat, cut, color, clarity, depth, table, x, y, z, price",
            *("evaluate", "test.csv", "--model", model(), "--by", "cut, color"),
        )

    def test_that_are_not_there(self, model: Model, fails: Fails) -> None:
        fails(
            3,
            "test.csv lacks the column 'Cut', which --by names; did you mean 'cut' (which differs in case only)? "
            "Correct --by; the file has: id, carat, cut, color, clarity, depth, table, x, y, z, price",
            *("evaluate", "test.csv", "--model", model(), "--by", "color,Cut"),
        )

    def test_of_free_text(self, model: Model, fails: Fails) -> None:
        fails(
            3,
            "column 'id' has 80 different values in 80 rows, too many to compare; name a column whose values repeat, "
            "or add one that puts the rows into groups",
            *("evaluate", "test.csv", "--model", model(), "--by", "id"),
        )

    def test_that_are_constant_or_missing(self, model: Model, run: Run) -> None:
        model()
        rows = table("diamonds", "test")
        rows = rows.append_column("all", pa.array(["same"] * 80)).append_column("none", pa.nulls(80, pa.string()))
        write_csv(rows, Path("rows.csv"))
        found = by(run, "rows.csv", "--by", "all,none")["slices"]
        assert [(each["value"], each["rows"]) for each in found] == [("same", 80), ("(missing)", 80)]
        assert found[0]["rest_gain_percent"] is None
        ended = run("evaluate", "rows.csv", "--model", "m", "--by", "all")
        assert ended.out.endswith(BONFERRONI.format("The interval holds") + "\n")

    def test_of_one_row(self, model: Model, run: Run) -> None:
        model()
        write_csv(table("diamonds", "test").slice(0, 1), Path("one.csv"))
        (found,) = by(run, "one.csv", "--by", "cut")["slices"]
        assert (found["rows"], found["interval"], found["finding"]) == (1, [None, None], None)
        assert run("evaluate", "one.csv", "--model", "m", "--by", "auto").code == 0


def test_classes_are_sliced_by_the_metric_of_the_verdict(model: Model, run: Run) -> None:
    model("chess")
    found = by(run, "test.csv", "--by", "depth")
    assert found["metric"] == "log_loss"
    assert {each["value"] for each in found["slices"]} == {"draw", "fourteen", "thirteen"}


def test_rows_that_were_seen_are_not_in_the_slices(model: Model, run: Run) -> None:
    model()
    alone, mixed = (by(run, *names, "--by", "cut,carat") for names in (["test.csv"], ["test.csv", "train.csv"]))
    assert alone == mixed


def test_where_too_few_were_not_seen_there_are_no_slices(model: Model, run: Run) -> None:
    model()
    assert by(run, "train.csv", "--by", "cut") is None
    ended = run("evaluate", "train.csv", "--model", "m", "--by", "auto")
    assert ended.code == 0
    assert ended.out.endswith("\n\nNo slices are shown: every row was seen in fitting.\n")
    write_csv(table("diamonds", "test").slice(0, 29), Path("few.csv"))
    ended = run("evaluate", "train.csv", "few.csv", "--model", "m", "--by", "cut")
    assert ended.out.endswith(
        "\n\nNo slices are shown: of the rows that were not seen in fitting 29 rows are too few to judge by.\n"
    )


@pytest.mark.parametrize("names", ["cut", "auto"])
def test_without_an_interval_it_is_said_why(model: Model, run: Run, names: str) -> None:
    model()
    write_csv(table("diamonds", "test").slice(0, 29), Path("few.csv"))
    ended = run("evaluate", "few.csv", "--model", "m", "--by", names)
    assert ended.out.endswith(" No slice has an interval: each has fewer than 30 rows.\n")


def test_a_memory_that_is_off_gains_nothing_anywhere(model: Model, run: Run) -> None:
    model()
    assert run("fit-residual", "train.csv", "--model", "m", "--shrinkage", 0, "--quiet").code == 0
    found = by(run, "test.csv", "--by", "auto")["slices"]
    assert {(each["gain_percent"], each["finding"]) for each in found} == {(0, None)}


# The table

GAIN = SliceGain(1_234_567, True, 0.0012345, 12345.6, -1.0, -123.45, (-1234.56, 12.34), 0.0, 45.67, None)


def slices(*found: Slice, is_auto: bool) -> Slices:
    return Slices("rmse", 9, ("x",), (), len(found), "row", is_auto, found)


@pytest.mark.parametrize("is_auto", [False, True], ids=["by", "auto"])
@pytest.mark.parametrize(
    "value", ["a long value of text " * 9, "日本語の長い値" * 9, "\x1b[31m" * 30], ids=["long", "wide", "odd"]
)
def test_it_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch, value: str, is_auto: bool) -> None:
    of = replace(GAIN, interval=(-34.56, 12.34), finding=Finding.HARMS if is_auto else None)
    found = slices(Slice("a column of a long name", "value", value, of), is_auto=is_auto)
    lines = on_terminal(monkeypatch, 80, lambda: print_slices(found))
    (row,) = [line for line in lines if "1,234,567" in line]
    assert "-123.45 %" in row
    assert "-34.56 to +12.34 %" in row
    assert "…" in row
    assert all(len(line) <= 80 for line in lines if "─" in line)


def test_an_end_that_is_not_bounded_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    ends = [(nan, -3.2), (1.5, nan), (nan, nan)]
    found = [Slice("x", "value", str(i), replace(GAIN, interval=each)) for i, each in enumerate(ends)]
    print_slices(slices(*found, is_auto=False))
    lines = capsys.readouterr().out.splitlines()[3:6]
    assert [line.split(" %", 1)[1].strip() for line in lines] == ["up to -3.20 %", "from +1.50 %", "-"]


def test_of_very_many_findings_the_first_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    of = [replace(GAIN, contribution=-float(i), finding=Finding.WORSE) for i in range(12)]
    print_slices(slices(*(Slice("x", "value", str(i), each) for i, each in enumerate(of)), is_auto=True))
    shown = capsys.readouterr().out
    assert "\nx = 11 " in shown
    assert "\nx = 1 " not in shown
    assert shown.endswith("and 2 more, which --json lists\n")
