"""`resmem predict`: what it writes, in which format, and what it says beside it."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from resmem_cli.data import encoding, sources, tables
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.store import manifest, parts, reading
from resmem_cli.store.stored import StoredModel
from tests.cli.conftest import Run, table, write_csv

Model = Callable[..., Path]
NEW = ["id", "carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"]


def read(path: str | Path) -> pa.Table:
    """A table that was written, read by other code than ours."""
    name = str(path)
    if name.endswith(".gz"):
        return pyarrow.csv.read_csv(pa.BufferReader(gzip.decompress(Path(name).read_bytes())))
    if name.endswith(".parquet"):
        return pyarrow.parquet.read_table(name)
    if name.endswith(".arrow"):
        return pyarrow.feather.read_table(name)
    if name.endswith(".jsonl"):
        return pa.Table.from_pylist([json.loads(line) for line in Path(name).read_text().splitlines()])
    return pyarrow.csv.read_csv(
        name, parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if name.endswith("tsv") else ",")
    )


def expected(model: Path, rows: Path) -> tuple[np.ndarray, np.ndarray]:
    """The predictions of the base and of the whole, through the library."""
    base, resmem, *_ = reading.load(model)
    (batch,) = tables.read(sources.resolve([str(rows)]))
    found = resmem.predict(encoding.encode(batch, base.schema)[0])
    return found.base, found.resmem


def predictions(run: Run, *words: object) -> dict[str, list[float]]:
    """The columns that are added to the file of new rows."""
    ended = run("predict", *words, "--keep", "none", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    return pyarrow.csv.read_csv(io.BytesIO(ended.out.encode())).to_pydict()


def test_the_columns_of_the_input_come_first_unchanged_and_then_what_is_predicted(model: Model, run: Run) -> None:
    ended = run("predict", "new.csv", "--model", model())
    lines = ended.out.splitlines()
    assert lines[0] == ",".join([*NEW, "prediction", "prediction_base"])
    assert [line.rsplit(",", 2)[0] for line in lines[1:]] == Path("new.csv").read_text().splitlines()[1:]
    base, resmem = expected(Path("m"), Path("new.csv"))
    found = np.array([[float(value) for value in line.rsplit(",", 2)[1:]] for line in lines[1:]])
    np.testing.assert_allclose(found, np.hstack([resmem, base]), rtol=1e-12)
    assert not np.allclose(resmem, base)


def test_it_says_how_many_rows_and_how_fast(model: Model, run: Run) -> None:
    ended = run("predict", "new.csv", "--model", model(), "--output", "out.csv")
    assert re.fullmatch(r"predicted 40 rows in \d+\.\d\d s \([\d,]+ rows/s\)\n", ended.err)
    assert (ended.code, ended.out) == (0, "")


def test_quiet_says_nothing(model: Model, run: Run) -> None:
    text = Path("new.csv")
    model()
    text.write_text(text.read_text().replace("Ideal", "Superb"))
    ended = run("predict", "new.csv", "--model", "m", "--output", "out.csv", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.tsv", "out.parquet", "out.arrow", "out.jsonl"])
@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_every_output_format_holds_the_same(model: Model, run: Run, name: str, source: str) -> None:
    model()
    pyarrow.parquet.write_table(table("diamonds", "new"), "new.parquet")
    assert run("predict", f"new.{source}", "--model", "m", "--output", name).code == 0
    found = read(name)
    assert found.column_names == [*NEW, "prediction", "prediction_base"]
    assert found.drop_columns(["prediction", "prediction_base"]).to_pylist() == table("diamonds", "new").to_pylist()
    base, resmem = expected(Path("m"), Path("new.csv"))
    np.testing.assert_allclose(found["prediction"], resmem[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found["prediction_base"], base[:, 0], rtol=1e-9)


@pytest.mark.parametrize("form", ["tsv", "parquet", "arrow", "jsonl"])
def test_the_format_of_standard_output_can_be_named(model: Model, form: str, program: Callable[..., object]) -> None:
    import subprocess

    from tests.cli.conftest import PROGRAM

    words = [str(PROGRAM), "predict", "new.csv", "--model", str(model()), "--output-format", form]
    data = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    readers: dict[str, Callable[[bytes], pa.Table]] = {
        "tsv": lambda data: pyarrow.csv.read_csv(
            pa.BufferReader(data), parse_options=pyarrow.csv.ParseOptions(delimiter="\t")
        ),
        "parquet": lambda data: pyarrow.parquet.read_table(pa.BufferReader(data)),
        "arrow": lambda data: pa.ipc.open_stream(data).read_all(),
        "jsonl": lambda data: pa.Table.from_pylist([json.loads(line) for line in data.splitlines()]),
    }
    found = readers[form](data)
    np.testing.assert_allclose(found["prediction"], expected(Path("m"), Path("new.csv"))[1][:, 0], rtol=1e-9)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "arrow", "jsonl"])
def test_standard_input_of_every_format_gives_the_same(
    model: Model, run: Run, stdin: Callable[[bytes], None], form: str
) -> None:
    """CSV with and without being told; the others are recognised, TSV must be named."""
    rows = table("diamonds", "new")
    model()
    asked = predictions(run, "new.csv", "--model", "m")
    sink = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(rows, sink)
    elif form == "arrow":
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
    elif form == "jsonl":
        sink.write("".join(json.dumps(row) + "\n" for row in rows.to_pylist()).encode())
    else:
        sink.write(Path("new.csv").read_bytes().replace(b",", b"," if form == "csv" else b"\t"))
    stdin(sink.getvalue())
    assert predictions(run, "-", "--model", "m", *(("--input-format", "tsv") if form == "tsv" else ())) == asked


def test_several_inputs_are_one_after_the_other(model: Model, run: Run) -> None:
    model()
    pyarrow.parquet.write_table(table("diamonds", "test"), "test.parquet")
    both = predictions(run, "new.csv", "test.parquet", "--model", "m")["prediction"]
    one, other = (predictions(run, name, "--model", "m")["prediction"] for name in ("new.csv", "test.csv"))
    np.testing.assert_allclose(both, one + other, rtol=1e-9)


def test_another_separator(model: Model, run: Run) -> None:
    model()
    asked = predictions(run, "new.csv", "--model", "m")
    Path("new.txt").write_text(Path("new.csv").read_text().replace(",", ";"))
    words = ("new.txt", "--model", "m", "--input-format", "csv", "--delimiter", ";", "--keep", "none", "--quiet")
    ended = run("predict", *words)
    assert (ended.code, ended.err) == (0, "")
    Path("as.csv").write_text(ended.out.replace(";", ","))
    assert read("as.csv").to_pydict() == asked


@pytest.mark.parametrize(
    ("keep", "columns"),
    [
        ("all", NEW),
        ("none", []),
        ("id", ["id"]),
        ("cut,id", ["cut", "id"]),
        ('"cut","x"', ["cut", "x"]),
        ("z", ["z"]),
    ],
)
def test_keep_names_what_is_passed_on(model: Model, run: Run, keep: str, columns: list[str]) -> None:
    ended = run("predict", "new.csv", "--model", model(), "--keep", keep)
    assert ended.out.splitlines()[0].split(",") == [*columns, "prediction", "prediction_base"]


def test_columns_that_the_model_does_not_know_pass_through(model: Model, run: Run) -> None:
    """As they were written, in the order of the input; and they change no prediction."""
    model()
    asked = predictions(run, "new.csv", "--model", "m")
    rows = table("diamonds", "new")
    notes = pa.array([f'"says ""{i}"", and 0{i}.10"' for i in range(rows.num_rows)])
    write_csv(rows.add_column(2, "note", notes).select(["note", *reversed(NEW)]), Path("more.csv"))
    ended = run("predict", "more.csv", "--model", "m")
    lines = ended.out.splitlines()
    assert lines[0] == ",".join(["note", *reversed(NEW), "prediction", "prediction_base"])
    assert [line.rsplit(",", 2)[0] for line in lines] == Path("more.csv").read_text().splitlines()
    assert predictions(run, "more.csv", "--model", "m") == asked
    assert (
        run("predict", "more.csv", "--model", "m", "--keep", "note")
        .out.splitlines()[1]
        .startswith('"says ""0"", and 00.10",')
    )


def test_a_prefix_stands_before_every_new_name(model: Model, run: Run) -> None:
    ended = run("predict", "new.csv", "--model", model("chess"), "--keep", "id", "--prefix", "v2_", "--probabilities")
    assert ended.out.splitlines()[0].split(",") == [
        "id",
        "v2_prediction",
        "v2_prediction_base",
        "v2_probability",
        "v2_probability_draw",
        "v2_probability_fourteen",
        "v2_probability_thirteen",
    ]


def test_classes_come_with_the_probability_of_the_predicted_one(model: Model, run: Run) -> None:
    found = predictions(run, "new.csv", "--model", model("chess"))
    assert list(found) == ["prediction", "prediction_base", "probability"]
    base, resmem = expected(Path("m"), Path("new.csv"))
    names = np.array(["draw", "fourteen", "thirteen"])
    assert found["prediction"] == names[resmem.argmax(axis=1)].tolist()
    assert found["prediction_base"] == names[base.argmax(axis=1)].tolist()
    np.testing.assert_allclose(found["probability"], resmem.max(axis=1), rtol=1e-12)


def test_probabilities_are_those_of_every_class_and_sum_to_one(model: Model, run: Run) -> None:
    model("chess")
    ended = run("predict", "new.csv", "--model", "m", "--keep", "none", "--probabilities")
    found = pyarrow.csv.read_csv(io.BytesIO(ended.out.encode()))
    whole = np.column_stack([found[name] for name in found.column_names if name.startswith("probability_")])
    np.testing.assert_allclose(whole, expected(Path("m"), Path("new.csv"))[1], rtol=1e-12)
    np.testing.assert_allclose(whole.sum(axis=1), 1)


def test_the_base_alone(model: Model, run: Run) -> None:
    ended = run("predict", "new.csv", "--model", model(), "--keep", "none", "--base-only")
    assert ended.out.splitlines()[0] == "prediction"
    found = [float(line) for line in ended.out.splitlines()[1:]]
    np.testing.assert_allclose(found, expected(Path("m"), Path("new.csv"))[0][:, 0], rtol=1e-12)


def test_missing_values_and_unknown_categories_are_counted(model: Model, run: Run) -> None:
    model()
    lines = [line.split(",") for line in Path("new.csv").read_text().splitlines()]
    for row in (1, 2, 3):
        lines[row][1] = ""
    lines[4][5] = "NA"
    lines[5][2] = lines[6][2] = "Superb"
    lines[7][2] = ""
    Path("odd.csv").write_text("".join(",".join(line) + "\n" for line in lines))
    ended = run("predict", "odd.csv", "--model", "m", "--batch-rows", 4, "--output", "out.csv")
    assert ended.lines[:2] == ["missing values: carat 3, depth 1, cut 1", "unknown categories: cut 2"]
    assert len(ended.lines) == 3
    assert not np.isnan(read("out.csv")["prediction"].to_numpy()).any()


def test_rows_without_surprises_are_not_spoken_of(model: Model, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESMEM_THREADS")  # every core, as a user has it
    assert len(run("predict", "new.csv", "--model", model(), "--output", "out.csv").lines) == 1


def test_the_environment_names_model_and_threads(model: Model, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("RESMEM_MODEL", str(model()))
    monkeypatch.setenv("RESMEM_THREADS", "3")
    load, meanwhile = reading.load, []

    def watched(directory: Path) -> StoredModel:
        meanwhile.append(os.environ["OMP_NUM_THREADS"])
        return load(directory)

    monkeypatch.setattr(reading, "load", watched)
    assert run("predict", "new.csv", "--output", "out.csv").code == 0
    assert run("predict", "new.csv", "--output", "out.csv", "--threads", 1).code == 0
    assert meanwhile == ["3", "1"]
    ended = run("predict", "new.csv", "--model", "none")
    assert "no model directory 'none'" in ended.err
    monkeypatch.setenv("RESMEM_THREADS", "many")
    assert run("predict", "new.csv").lines == [
        "resmem: Invalid value for '--threads' (env var: 'RESMEM_THREADS'): Input should be a valid integer, unable to "
        "parse string as an integer; see resmem predict --help"
    ]


def test_the_output_may_be_the_input(model: Model, run: Run) -> None:
    model()
    assert run("predict", "new.csv", "--model", "m", "--output", "new.csv").code == 0
    assert read("new.csv").column_names == [*NEW, "prediction", "prediction_base"]


def test_an_output_is_replaced(model: Model, run: Run) -> None:
    model()
    Path("out.csv").write_text("of yesterday\n")
    assert run("predict", "new.csv", "--model", "m", "--output", "out.csv").code == 0
    assert read("out.csv").num_rows == 40


def test_whole_numbers_where_fractions_were_trained_on_are_fine(model: Model, run: Run) -> None:
    model()
    rows = table("diamonds", "new")
    whole = rows.set_column(1, "carat", pa.array([1] * rows.num_rows, pa.int8()))
    pyarrow.parquet.write_table(whole, "whole.parquet")
    write_csv(whole, Path("whole.csv"))
    found = [predictions(run, f"whole.{kind}", "--model", "m")["prediction"] for kind in ("parquet", "csv")]
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_rows_whose_prediction_is_no_number_are_counted_and_told(model: Model, run: Run) -> None:
    """A memory whose residuals are damaged, which predict does not look through: verify does."""
    path = model()
    content = json.loads((path / manifest.MEMORY).read_text())
    file = path / parts.FOLDER / content["id"] / parts.ARRAYS
    arrays = parts.load_arrays(file)
    parts.save_arrays(file, {**arrays, "residuals": np.full_like(arrays["residuals"], np.nan)})
    (path / manifest.MEMORY).write_text(json.dumps(content | {"parts": parts.to_json(parts.record(file.parent))}))
    ended = run("predict", "new.csv", "--model", path, "--output", "out.csv")
    assert ended.code == 0
    assert "note: the prediction of 40 rows is not finite\n" in ended.err
    assert run("verify", "--model", path).code == 4
    assert run("predict", "new.csv", "--model", path, "--base-only", "--output", "out.csv").err.count("note") == 0


def test_a_base_that_loads_and_cannot_predict_is_a_damaged_model(
    model: Model, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever it stumbles over, which loading has not seen."""

    def stumble(*_: object) -> None:
        raise AttributeError("no trees")

    path = model("boosted")
    monkeypatch.setattr(Boosting, "of_bag", stumble)
    for words in (("predict", "new.csv"), ("evaluate", "test.csv"), ("explain", "new.csv"), ("remember", "test.csv")):
        ended = run(*words, "--model", path)
        assert (ended.code, ended.out) == (4, ""), words
        assert "resmem: the model 'm' cannot be used (AttributeError: " in ended.err
    for words in (("verify",), ("fit-residual", "train.csv")):
        assert run(*words, "--model", path).code == 4


def test_what_may_be_a_quote_left_open_is_told_with_its_row(model: Model, run: Run) -> None:
    model()
    lines = Path("new.csv").read_text().splitlines()
    row = lines[4].split(",")
    row[0] = '"of ' + "several\n" * 30 + '"'
    lines[4] = ",".join(row)
    Path("new.csv").write_text("\n".join(lines) + "\n")
    words = ("predict", "new.csv", "--model", "m", "--output", "out.csv")
    ended = run(*words)
    assert ended.lines[0].startswith("note: new.csv, row 4: a quoted value spans 31 lines ('\"of several several")
    assert ended.lines[0].endswith("; if these are rows, a quote is not closed")
    assert ended.lines[1].startswith("predicted 40 rows")
    assert run(*words, "--quiet").err == ""
