"""Columns that folders hold, as Hive writes them: features in fitting, found in predicting, kept beside outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.data import sources, tables
from tests.cli.conftest import Run

Fails = Callable[..., None]
DATA = 3


def day(region: str, month: int, n: int = 40) -> pa.Table:
    """Rows whose target depends on their region and month, which only the folders say."""
    rng = np.random.default_rng(month + 100 * len(region))
    x = rng.normal(size=n)
    return pa.table({"x": x, "y": x + month + 10 * (region == "north")})


def written(folder: str, *, ending: str = "parquet", months: tuple[int, ...] = (1, 2, 11)) -> None:
    for region in ("north", "south/east"):
        for month in months:
            place = Path(folder) / f"region={region.replace('/', '%2F')}" / f"month={month:02}"
            place.mkdir(parents=True)
            rows = day(region, month)
            if ending == "parquet":
                pq.write_table(rows, place / "part.parquet")
            else:
                lines = [",".join(map(repr, row.values())) for row in rows.to_pylist()]
                (place / "part.csv").write_text("\n".join(["x,y", *lines, ""]))


@pytest.fixture
def fitted(run: Run) -> str:
    written("data")
    ended = run("fit-base", "data", "--target", "y", "--estimator", "linear", "--model", "m")
    assert ended.code == 0
    words = ("--representation", "features", "--effort", "quick", "--quiet")
    assert run("fit-residual", "data", "--model", "m", *words).code == 0
    return "m"


def test_folders_are_features_of_the_types_that_they_have(fitted: str) -> None:
    schema = json.loads(Path("m/base.json").read_text())["schema"]
    kinds = {column["name"]: (column["kind"], column["arrow_type"]) for column in schema["columns"]}
    assert kinds == {
        "x": ("number", "double"),
        "region": ("category", "string"),
        "month": ("number", "int64"),
    }
    assert next(c for c in schema["columns"] if c["name"] == "region")["categories"] == ["north", "south/east"]


@pytest.mark.parametrize(
    "word",
    ["data/region=north/month=02", "data/region=north/month=02/part.parquet", "data/*/month=02/*.parquet", "data"],
)
def test_what_the_model_needs_is_found_in_the_path_however_it_is_named(fitted: str, run: Run, word: str) -> None:
    assert run("predict", word, "--model", "m", "--output", "out.parquet", "--quiet").code == 0
    out = pq.read_table("out.parquet")
    np.testing.assert_allclose(out["prediction"], out["y"], atol=0.5)
    assert out.schema.field("month").type == pa.float64()
    assert set(out["region"].to_pylist()) <= {"north", "south/east"}


def test_predictions_from_csv_in_folders_are_those_from_parquet(fitted: str, run: Run) -> None:
    written("text", ending="csv")
    assert run("predict", "data", "--model", "m", "--keep", "none", "--output", "a.csv", "--quiet").code == 0
    words = ("text/*/*/*.csv", "--model", "m", "--keep", "none", "--output", "b.csv", "--quiet")
    assert run("predict", *words).code == 0
    assert Path("a.csv").read_text() == Path("b.csv").read_text()
    assert run("fit-base", "text/*/*/*.csv", "--target", "y", "--estimator", "linear", "--model", "m2").code == 0
    columns = [json.loads(Path(each, "base.json").read_text())["schema"]["columns"] for each in ("m", "m2")]
    assert columns[0] == columns[1]


@pytest.mark.parametrize("word", ["data", "data/region=north/month=11", "data/region=north/*"])
def test_folders_are_kept_beside_outputs_and_not_written_into_them(fitted: str, run: Run, word: str) -> None:
    assert run("predict", word, "--model", "m", "--output-dir", "out", "--quiet").code == 0
    out = pq.read_table("out/region=north/month=11/part.parquet", partitioning=None)
    assert out.column_names == ["x", "y", "prediction", "prediction_base"]
    again = tables.read_all(sources.resolve(["out"]))[0].table  # which reads as the input did
    assert {"region", "month"} <= {*again.column_names}
    words = ("--keep", "region,x", "--output-dir", "named", "--quiet")
    assert run("predict", word, "--model", "m", *words).code == 0
    named = pq.read_table("named/region=north/month=11/part.parquet", partitioning=None)
    assert named.column_names[:2] == ["region", "x"]


def test_labelled_rows_are_judged_remembered_and_forgotten_by_folders(fitted: str, run: Run) -> None:
    written("more", months=(3, 4))
    found = json.loads(run("evaluate", "more", "--model", "m", "--by", "region", "--json").out)
    assert {each["value"] for each in found["by"]["slices"]} == {"north", "south/east"}
    assert "remembered 160 rows" in run("remember", "more", "--model", "m").err
    ended = run("explain", "more/region=north/month=03", "--model", "m", "--rows", "1")
    assert ended.code == 0


def test_what_no_file_differs_in_is_not_read_in_fitting(run: Run) -> None:
    written("data", months=(1,))
    ended = run("fit-base", "data", "--target", "y", "--estimator", "linear", "--model", "m")
    assert "note: the folders' column 'month' is '1' in every file and is not read\n" in ended.err
    names = [column["name"] for column in json.loads(Path("m/base.json").read_text())["schema"]["columns"]]
    assert names == ["x", "region"]
    Path("other").mkdir()
    pq.write_table(day("north", 1).append_column("region", pa.array(["north"] * 40)), "other/rows.parquet")
    assert run("predict", "other/rows.parquet", "--model", "m", "--base-only", "--output", "o.csv").code == 0


def test_folders_above_what_is_named_are_no_columns_unless_the_model_needs_them(fitted: str, run: Run) -> None:
    place = Path("run=7/data/region=north/month=01")
    place.mkdir(parents=True)
    pq.write_table(day("north", 1), place / "part.parquet")
    ended = run("predict", "run=7/data", "--model", "m", "--output", "out.csv", "--quiet")
    assert ended.code == 0
    assert Path("out.csv").read_text().splitlines()[0] == "x,y,region,month,prediction,prediction_base"


def test_a_default_partition_is_missing(fitted: str, run: Run) -> None:
    place = Path("new/region=__HIVE_DEFAULT_PARTITION__/month=03")
    place.mkdir(parents=True)
    pq.write_table(day("north", 3), place / "part.parquet")
    assert "missing values: region 40" in run("predict", "new", "--model", "m", "--output", "out.csv").err


@pytest.mark.parametrize("value", ["2", 2, 2.0, "02"])
def test_a_column_that_is_also_in_the_file_may_say_the_same(fitted: str, run: Run, value: object) -> None:
    place = Path("new/region=north/month=02")
    place.mkdir(parents=True)
    pq.write_table(day("north", 2).append_column("month", pa.array([value] * 40)), place / "part.parquet")
    assert run("predict", "new", "--model", "m", "--output", "out.csv").code == 0


def test_a_column_that_is_also_in_the_file_may_not_say_another_value(fitted: str, fails: Fails) -> None:
    place = Path("new/region=north/month=02")
    place.mkdir(parents=True)
    months = pa.array([2] * 39 + [3])
    pq.write_table(day("north", 2).append_column("month", months), place / "part.parquet")
    sentence = (
        "new/region=north/month=02/part.parquet, row 40: the column 'month' holds '3', and the folder's name says "
        "'2'; correct one of them, or remove the column from the file"
    )
    fails(DATA, sentence, "predict", "new", "--model", "m", "--output", "out.csv")


def test_files_of_which_some_lie_in_no_such_folder_are_refused(run: Run, fails: Fails) -> None:
    written("data")
    pq.write_table(day("north", 1), "data/part.parquet")
    ended = run("fit-base", "data", "--target", "y", "--model", "m")
    assert ended.code == DATA
    assert "differ in the columns 'month', 'region'; give files of the same columns" in ended.err
    assert "data/part.parquet" in ended.err


class TestForget:
    def test_only_files_below_the_folder_of_the_value_are_read(self, fitted: str, run: Run) -> None:
        Path("data/region=north/month=02/part.parquet").write_bytes(b"damaged")
        ended = run("forget", "data", "--where", "month=01", "--model", "m", "--json", "--quiet")
        assert ended.code == 0
        assert json.loads(ended.out)["removed"] == 80

    def test_a_value_of_no_folder_is_told(self, fitted: str, fails: Fails) -> None:
        words = ("forget", "data", "--where", "month=7", "--model", "m", "--quiet")
        fails(DATA, "no row has month = '7'; check --where", *words)

    @pytest.mark.parametrize("asked", ["True", "true"])
    def test_no_file_is_left_out_whose_folder_may_say_the_same_otherwise(self, run: Run, asked: str) -> None:
        for flag in ("True", "False"):
            Path(f"flags/flag={flag}").mkdir(parents=True)
            pq.write_table(day("north", 1), f"flags/flag={flag}/part.parquet")
        words = ("--target", "y", "--estimator", "linear", "--model", "f", "--quiet")
        assert run("fit-base", "flags", *words).code == 0
        words = ("--representation", "features", "--effort", "quick", "--quiet")
        assert run("fit-residual", "flags", "--model", "f", *words).code == 0
        assert "forgot 40 rows" in run("forget", "flags", "--where", f"flag={asked}", "--model", "f").err


def test_a_column_of_the_file_itself_stays_and_is_compared_beside_kept_folders(fitted: str, run: Run) -> None:
    for rate, values in ((1, [1] * 40), (2, [2] * 39 + [3])):
        place = Path(f"rates/rate={rate}/region=north/month=02")
        place.mkdir(parents=True)
        pq.write_table(day("north", 2).append_column("rate", pa.array(values)), place / "part.parquet")
    ended = run("predict", "rates", "--model", "m", "--output-dir", "out", "--keep-going")
    assert "row 40: the column 'rate' holds '3', and the folder's name says '2'" in ended.err
    out = pq.read_table("out/rate=1/region=north/month=02/part.parquet", partitioning=None)
    assert out.column_names == ["x", "y", "rate", "prediction", "prediction_base"]
