"""Predictions: the kept columns as they came, then what was predicted, with the types that the model knows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data import sources, tables
from resmem_cli.data.kinds import Kind
from resmem_cli.data.predictions import Layout, Scored, lay_out
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError, UsageError

REGRESSION = Target("y", Task.REGRESSION, "double")
COLUMNS = (
    Column("n", Kind.NUMBER, "int64"),
    Column("b", Kind.BOOLEAN, "bool"),
    Column("t", Kind.TIMESTAMP, "timestamp[us]"),
    Column("c", Kind.CATEGORY, "string", ("007", "x")),
)
TABLE = pa.table({"id": ["1", "2"], "n": ["1.50", ""], "b": ["True", "0"], "t": ["2024-01-02", "NA"], "c": ["007", ""]})
TEXT = Rows(TABLE, ((0, "new.csv", 1),), is_text=True)
TYPED = Rows(pa.table({"id": [1, 2], "note": ["a", None]}), ((0, "new.parquet", 1),), is_text=False)
BASE = np.array([[0.25], [2.5]])
RESMEM = np.array([[1.0], [3.0]])
PROBABILITIES = np.array([[0.5, 0.5, 0.0], [0.125, 0.25, 0.625]])
BASE_PROBABILITIES = np.array([[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]])


def layout(target: Target = REGRESSION, *, id_column: str | None = "id", **options: object) -> Layout:
    schema = Schema(COLUMNS, target, id_column)
    defaults = {"keep": "none", "prefix": "", "with_probabilities": False, "base_only": False, "typed": True}
    return Layout(schema, **(defaults | options))


def classification(*classes: str | float | bool) -> Target:
    return Target("y", Task.CLASSIFICATION, "", classes)


def classified(target: Target, **options: object) -> pa.Table:
    return lay_out(TYPED, layout(target, **options), Scored(BASE_PROBABILITIES, PROBABILITIES))


@pytest.mark.parametrize("rows", [TEXT, TYPED])
def test_all_columns_are_kept_in_their_order_before_the_predictions(rows):
    found = lay_out(rows, layout(keep="all", typed=False), Scored(BASE, RESMEM))
    assert found.column_names == [*rows.table.column_names, "prediction", "prediction_base"]
    assert found.select(rows.table.column_names).equals(rows.table)
    assert found.select(["prediction", "prediction_base"]).to_pydict() == {
        "prediction": [1.0, 3.0],
        "prediction_base": [0.25, 2.5],
    }


@pytest.mark.parametrize(
    ("keep", "names"),
    [("none", []), ("id", ["id"]), (["c", "id"], ["c", "id"]), (["id", "id"], ["id"]), ([], [])],
)
def test_other_columns_are_kept_in_the_order_in_which_they_are_named(keep, names):
    found = lay_out(TEXT, layout(keep=keep), Scored(BASE, RESMEM))
    assert found.column_names == [*names, "prediction", "prediction_base"]
    assert found.num_rows == 2


@pytest.mark.parametrize(
    ("keep", "columns"),
    [
        ("all", None),
        ("none", {"n", "b", "t", "c"}),
        ("id", {"n", "b", "t", "c", "id"}),
        (["note", "n"], {"n", "b", "t", "c", "note"}),
    ],
)
def test_only_what_the_model_and_the_output_need_is_read(keep, columns):
    assert layout(keep=keep).columns_to_read == columns


def test_without_a_memory_there_is_one_prediction():
    assert lay_out(TEXT, layout(base_only=True), Scored(BASE, BASE)).to_pydict() == {"prediction": [0.25, 2.5]}
    found = lay_out(TEXT, layout(classification("a", "b", "c"), base_only=True), Scored(PROBABILITIES, PROBABILITIES))
    assert found.to_pydict() == {"prediction": ["a", "c"], "probability": [0.5, 0.625]}


def test_every_added_column_has_the_prefix_and_no_other():
    found = lay_out(TEXT, layout(keep=["id"], prefix="new "), Scored(BASE, RESMEM))
    assert found.column_names == ["id", "new prediction", "new prediction_base"]


def test_every_class_may_have_its_probability():
    found = classified(classification("a", "b,c", ""), with_probabilities=True, prefix="p.")
    assert found.to_pydict() == {
        "p.prediction": ["a", ""],
        "p.prediction_base": ["", "b,c"],
        "p.probability": [0.5, 0.625],
        "p.probability_a": [0.5, 0.125],
        "p.probability_b,c": [0.5, 0.25],
        "p.probability_": [0.0, 0.625],
    }


def test_of_equally_probable_classes_the_first_is_predicted_with_and_without_memory():
    even = np.full((2, 3), 1 / 3)
    found = lay_out(TEXT, layout(classification("a", "b", "c")), Scored(even, even))
    assert found.to_pydict() == {"prediction": ["a"] * 2, "prediction_base": ["a"] * 2, "probability": [1 / 3] * 2}


@pytest.mark.parametrize(
    ("classes", "arrow_type", "names"),
    [
        (("a", "b", "ü"), pa.string(), ["a", "b", "ü"]),
        (("01", "1", "1.0"), pa.string(), ["01", "1", "1.0"]),
        ((-1, 0, 2**62), pa.int64(), ["-1", "0", "4611686018427387904"]),
        ((0.0, 0.5, 1e20), pa.float64(), ["0", "0.5", "1e+20"]),
        ((False, True), pa.bool_(), ["false", "true"]),
    ],
)
def test_a_predicted_class_has_the_type_of_the_target(classes, arrow_type, names):
    target = classification(*classes)
    first, last = np.eye(len(classes))[[0]], np.eye(len(classes))[[-1]]
    rows = Rows(TABLE.slice(0, 1), TEXT.origins, is_text=True)
    found = lay_out(rows, layout(target, with_probabilities=True), Scored(first, last))
    assert found.schema.field("prediction").type == found.schema.field("prediction_base").type == arrow_type
    assert found.column("prediction").to_pylist() == [classes[-1]]
    assert found.column("prediction_base").to_pylist() == [classes[0]]
    assert found.column_names[3:] == [f"probability_{name}" for name in names]
    assert found.column(f"probability_{names[-1]}").to_pylist() == [1.0]


def test_text_that_the_model_knows_has_types_in_a_typed_output():
    found = lay_out(TEXT, layout(keep="all"), Scored(BASE, RESMEM))
    assert found.select(TABLE.column_names).to_pylist() == [
        {"id": "1", "n": 1.5, "b": True, "t": dt.datetime(2024, 1, 2), "c": "007"},
        {"id": "2", "n": None, "b": False, "t": None, "c": ""},
    ]
    assert found.schema.types == [
        pa.string(),
        pa.float64(),
        pa.bool_(),
        pa.timestamp("us"),
        pa.string(),
        pa.float64(),
        pa.float64(),
    ]


def test_batches_of_csv_make_one_parquet_file_whatever_is_missing_in_them(file, write, read_back):
    lines = ["1,2,true,2024-01-02,x", "2,,,,", "3,2.5,0,2024-01-02T03:04:05+01:00,007", "4,1e3,False,NA,"]
    path = file("new.csv", "id,n,b,t,c\n" + "\n".join(lines) + "\n")
    batches = tables.read(sources.resolve([path]), batch_rows=1)
    write(path + ".parquet", *(lay_out(batch, layout(keep="all"), Scored(BASE[:1], RESMEM[:1])) for batch in batches))
    assert read_back(path + ".parquet").drop_columns(["prediction", "prediction_base"]).to_pydict() == {
        "id": ["1", "2", "3", "4"],
        "n": [2.0, None, 2.5, 1000.0],
        "b": [True, None, False, False],
        "t": [dt.datetime(2024, 1, 2), None, dt.datetime(2024, 1, 2, 2, 4, 5), None],
        "c": ["x", None, "007", None],
    }


@pytest.mark.parametrize("digits", ["9007199254740993", "-9007199254740993", "+123456789012345678901234567890"])
def test_text_loses_no_digits_in_a_typed_output(digits):
    table = TABLE.set_column(1, "n", pa.array(["1e20", f" {digits} "]))
    rows = Rows(table, ((0, "new.csv", 1),), is_text=True)
    with pytest.raises(DataError) as caught:
        lay_out(rows, layout(keep="all"), Scored(BASE, RESMEM))
    assert str(caught.value) == (
        f"new.csv, row 2: column 'n' holds {digits}, which would lose digits as a number of a typed format; "
        "write CSV, or leave the column out with --keep"
    )
    assert lay_out(rows, layout(keep="all", typed=False), Scored(BASE, RESMEM))["n"][1].as_py() == f" {digits} "
    assert len(lay_out(rows, layout(keep=["id"]), Scored(BASE, RESMEM))) == 2


@pytest.mark.parametrize("digits", ["9007199254740992", "12345678901234580000", "1e20"])
def test_text_that_is_the_number_that_a_float_is_has_a_type(digits):
    rows = Rows(TABLE.set_column(1, "n", pa.array([digits, None], pa.string())), ((0, "new.csv", 1),), is_text=True)
    assert lay_out(rows, layout(keep="all"), Scored(BASE, RESMEM))["n"].to_pylist() == [float(digits), None]


def test_columns_that_have_types_keep_them():
    table = pa.table({"n": pa.array([1, 2], pa.int8()), "c": pa.array(["x", None]).dictionary_encode()})
    found = lay_out(Rows(table, ((0, "new.parquet", 1),), is_text=False), layout(keep="all"), Scored(BASE, RESMEM))
    assert found.select(["n", "c"]).equals(table)


@pytest.mark.parametrize(
    ("keep", "missing"), [(["id", "nope"], "'nope'"), (["Note", "n", "Id"], "'Note', 'Id'"), ("id", "'id'")]
)
def test_a_column_to_keep_that_is_not_there_is_named(keep, missing):
    table = TABLE if keep != "id" else TABLE.drop_columns(["id"])
    with pytest.raises(DataError) as caught:
        lay_out(Rows(table, TEXT.origins, is_text=True), layout(keep=keep), Scored(BASE, RESMEM))
    its_columns = f"ts columns are: {', '.join(table.column_names)}"
    close = "did you mean 'id' (which differs in case only) for 'Id'? I" if "'Id'" in missing else "i"
    assert str(caught.value) == f"new.csv has no column {missing} to keep; {close}{its_columns}"


def test_a_column_to_keep_that_is_not_there_is_answered_with_all_that_are(file, read):
    chosen = layout(keep=["Id"])
    path = file("new.csv", "id,n,b,t,c,note\n1,2,true,2024-01-01,x,z\n")
    (batch,) = read(path, columns=chosen.columns_to_read)
    with pytest.raises(DataError) as caught:
        lay_out(batch, chosen, Scored(BASE[:1], RESMEM[:1]))
    assert str(caught.value) == (
        f"{path} has no column 'Id' to keep; did you mean 'id' (which differs in case only)? "
        "Its columns are: id, n, b, t, c, note"
    )


@pytest.mark.parametrize("keep", ["all", ["prediction_base", "id"]])
@pytest.mark.parametrize("prefix", ["", "p "])
def test_a_name_that_is_there_already_is_refused_not_overwritten(keep, prefix):
    name = f"{prefix}prediction_base"
    old = Rows(TABLE.append_column(name, pa.array(["7", "8"])), TEXT.origins, is_text=True)
    keep = [name, "id"] if isinstance(keep, list) else keep
    with pytest.raises(UsageError) as caught:
        lay_out(old, layout(keep=keep, prefix=prefix), Scored(BASE, RESMEM))
    assert str(caught.value) == (
        f"new.csv has a column '{name}' already; "
        "put something before the new names with --prefix, or leave the old one out with --keep"
    )


@pytest.mark.parametrize("options", [{"prefix": "new_"}, {"keep": ["id"]}, {"base_only": True}])
def test_the_two_ways_out_of_a_clash_work_and_a_name_that_is_not_added_is_none(options):
    old = Rows(TABLE.append_column("prediction_base", pa.array(["7", "8"])), TEXT.origins, is_text=True)
    found = lay_out(old, layout(**({"keep": "all"} | options)), Scored(BASE, RESMEM))
    if options != {"keep": ["id"]}:
        assert found.column("prediction_base").to_pylist() == ["7", "8"]
    assert found.column(options.get("prefix", "") + "prediction").to_pylist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"keep": "id", "id_column": None},
            "the model has no id column to keep; name columns with --keep, or fit with --id",
        ),
        ({"with_probabilities": True}, "a regression has no probabilities; leave --probabilities out"),
    ],
)
def test_what_the_model_does_not_have_is_refused_before_anything_is_read(options, sentence):
    with pytest.raises(UsageError) as caught:
        layout(**options)
    assert str(caught.value) == sentence
