"""A table without rows is predicted as one without rows: a quiet day is no mistake. To fit or judge by, it is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from resmem_cli.errors import DataError
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions, predict
from tests.cli.conftest import Run, table, write_csv
from tests.cli.test_predict import NEW, read

Model = Callable[..., Path]


def day(data: str, name: str, rows: int) -> str:
    """Write the first rows of those to predict in a format, by the ending of the name."""
    part = table(data, "new").slice(0, rows)
    if name.endswith(".csv"):
        write_csv(part, Path(name))
    elif name.endswith(".arrow"):
        pyarrow.feather.write_feather(part, name)
    else:
        pq.write_table(part, name)
    return name


@pytest.mark.parametrize("name", ["quiet.csv", "quiet.parquet", "quiet.arrow"])
def test_the_header_and_the_added_columns_are_written(model: Model, run: Run, name: str) -> None:
    ended = run("predict", day("diamonds", name, 0), "--model", model())
    assert (ended.code, ended.out) == (0, ",".join([*NEW, "prediction", "prediction_base"]) + "\n")
    assert ended.err.startswith("predicted 0 rows in ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("house", ()),
        ("boosted", ("--support",)),
        ("both", ("--interval", 0.5)),
        ("chess", ("--probabilities", "--support")),
        ("house", ("--base-only", "--keep", "id", "--prefix", "p_")),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_have_the_types_that_they_have_with_rows(
    model: Model, run: Run, data: str, words: tuple[object, ...], form: str
) -> None:
    model(data)
    sample = "chess" if data == "chess" else "diamonds"
    schemas = []
    for name, rows in (("quiet", 0), ("usual", 5)):
        day(sample, f"{name}.{form}", rows)
        out = f"out-{name}.parquet"
        assert run("predict", f"{name}.{form}", "--model", "m", "--output", out, *words, "--quiet").err == ""
        schemas.append(pq.read_schema(out).remove_metadata())
        assert pq.read_metadata(out).num_rows == rows
    assert schemas[0] == schemas[1]


def test_several_files_without_rows_are_one_output_without_rows(model: Model, run: Run) -> None:
    words = (day("diamonds", "a.csv", 0), day("diamonds", "b.parquet", 0), "--model", model())
    assert run("predict", *words, "--output", "out.parquet").code == 0
    assert read("out.parquet").num_rows == 0
    assert read("out.parquet").column_names == [*NEW, "prediction", "prediction_base"]


def test_a_header_that_lacks_columns_is_an_error_nevertheless(model: Model, fails: Callable[..., None]) -> None:
    model()
    Path("quiet.csv").write_text("id,carat\n")
    with pytest.raises(DataError) as caught:
        predict(Input(("quiet.csv",)), Path("m"), PredictOptions("out.csv"))
    assert caught.value.message.startswith("quiet.csv lacks the columns 'cut', 'color'")
    fails(3, str(caught.value), "predict", "quiet.csv", "--model", "m", "--output", "out.csv")


def test_vectors_and_dates_of_no_rows_have_their_types(run: Run, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "v": pa.array([[float(i), 1.0] for i in range(60)], pa.list_(pa.float64(), 2)),
            "t": pa.array([i * 86_400 for i in range(60)], pa.timestamp("s")),
            "b": [i % 3 == 0 for i in range(60)],
            "y": [float(i % 7) for i in range(60)],
        }
    )
    pq.write_table(rows, "train.parquet")
    fit = ("--model", "m", "--quiet")
    assert run("fit-base", "train.parquet", "--target", "y", "--estimator", "linear", *fit).code == 0
    Path("quiet.csv").write_text("v,t,b\n")
    assert run("predict", "quiet.csv", *fit, "--base-only", "--output", "out.parquet").err == ""
    Path("one.csv").write_text('v,t,b\n"[1, 1]",2020-01-01,true\n')
    assert run("predict", "one.csv", *fit, "--base-only", "--output", "one.parquet").err == ""
    assert pq.read_schema("out.parquet") == pq.read_schema("one.parquet")
