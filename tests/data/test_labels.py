"""Labels: what is read is what is written, in every format, and what names the columns of probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data import encoding, sources, tables
from resmem_cli.data.encoding import NO_CLASS, encode_target
from resmem_cli.data.inference import Learned, Roles, learn
from resmem_cli.data.predictions import Layout, Scored, lay_out
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError

NAN = float("nan")


def typed(**columns) -> Rows:
    return Rows(pa.table(columns), ((0, "t.parquet", 1),), is_text=False)


def text(**columns) -> Rows:
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return Rows(table, ((0, "t.csv", 1),), is_text=True)


def learned(*labels: object, arrow_type: pa.DataType | None = None) -> Learned:
    """What is learned of labels that are each in two rows: of text, if no type is given."""
    twice = [*labels, *labels]
    rows = text if arrow_type is None else typed
    numbers = [str(i) for i in range(len(twice))] if arrow_type is None else list(range(len(twice)))
    column = twice if arrow_type is None else pa.array(twice, arrow_type)
    return learn([rows(x=numbers, y=column)], Roles("y", Task.CLASSIFICATION))


@pytest.fixture
def reread(tmp_path: Path, write, read_back) -> Callable[[Learned, str], dict[str, list[object]]]:
    """Write every row's own class as its prediction to a file of a name, and read that back."""
    return lambda found, name: predicted(found, tmp_path / name, write, read_back)


def predicted(found: Learned, path: Path, write, read_back) -> dict[str, list[object]]:
    n = len(found.schema.target.classes)
    own = np.eye(n)[encode_target(found.rows, found.schema).astype(int)]
    is_typed = path.suffix == ".parquet"
    layout = Layout(found.schema, "none", "", with_probabilities=True, base_only=True, typed=is_typed)
    write(path, lay_out(found.rows, layout, Scored(own, own)))
    if path.suffix == ".jsonl":  # by another reader than ours, which has integers of any length
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return {key: [line[key] for line in lines] for key in lines[0]}
    columns: dict[str, list[object]] = read_back(path).to_pydict()
    return columns


@pytest.mark.parametrize(
    "labels",
    [
        ["01", "1"],
        ["1.0", "2.0"],
        ["1.0", "2"],
        ["+1", "-1"],
        ["1.10", "1.1"],
        ["007", "7", "0x7"],
        ["True", "False"],
        ["TRUE", "FALSE"],
        ["true", "false"],
        ["1e3", "2e3"],
        ["0", "1"],
        ["-5", "10", "9"],
        ["0.5", "1.5"],
        ["1", "0.5"],
        ["9007199254740992", "9007199254740993", "9007199254740995"],
        ["9223372036854775813", "9223372036854775814", "18446744073709551615"],
        ["99999999999999999998", "99999999999999999999"],
        ["-1", "18446744073709551615"],
        ["a", "A", "NA"],
    ],
)
@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_a_label_of_text_is_written_as_it_was_read(reread, labels, name):
    found = learned(*labels)
    back = reread(found, name)
    is_truth = labels == ["true", "false"]
    assert [str(each).lower() if is_truth else str(each) for each in back["prediction"]] == labels * 2
    assert sorted(list(back)[2:]) == sorted(f"probability_{label}" for label in labels)


@pytest.mark.parametrize(
    ("arrow_type", "labels", "names"),
    [
        (pa.int8(), [2, 10, -1], ["-1", "2", "10"]),
        (pa.int64(), [2**53, 2**53 + 1], ["9007199254740992", "9007199254740993"]),
        (pa.uint64(), [2**63 + 5, 2**64 - 1], ["9223372036854775813", "18446744073709551615"]),
        (pa.float64(), [1.0, 0.5], ["0.5", "1"]),
        (pa.float32(), [np.float32(0.1), np.float32(1)], ["0.1", "1"]),
        (pa.bool_(), [True, False], ["false", "true"]),
        (pa.decimal128(10, 2), [Decimal("10.00"), Decimal("9.50")], ["9.50", "10.00"]),
        (pa.decimal128(30, 0), [Decimal(10**25), Decimal(10**25 + 1)], [str(10**25), str(10**25 + 1)]),
        (pa.string(), ["1.0", "01", "2"], ["01", "1.0", "2"]),
        (pa.dictionary(pa.int8(), pa.string()), ["b", "a"], ["a", "b"]),
    ],
)
def test_a_label_with_a_type_keeps_its_value_and_names_its_probability_as_csv_has_it(reread, arrow_type, labels, names):
    found = learned(*labels, arrow_type=arrow_type)
    assert found.schema.target.class_names == tuple(names)
    wanted = pa.array(labels * 2, arrow_type)
    for name, expected in (("out.parquet", wanted), ("out.csv", wanted.cast(pa.string()))):
        back = reread(found, name)
        assert list(back)[2:] == [f"probability_{each}" for each in names]
        assert back["prediction"] == expected.to_pylist()


def test_two_writings_of_one_value_are_one_class_that_is_written_as_most_are_and_this_is_said():
    rows = text(x=list("12345678"), y=["1.0", "1", "1", "2", "2", "2.0", "01", "01"])
    found = learn([rows], Roles("y", Task.CLASSIFICATION, categories=["y"]))
    assert found.schema.target.classes == ("01", "1", "2")
    assert found.notes == (
        "the target 'y' writes '1' also as '1.0': taken as one class, '1'",
        "the target 'y' writes '2' also as '2.0': taken as one class, '2'",
    )
    assert encode_target(found.rows, found.schema).tolist() == [1, 1, 1, 2, 2, 2, 0, 0]


def test_labels_of_text_and_of_a_type_are_one_class(file):
    words = [file("1.csv", "x,y\n1,1.0\n2,2.0\n"), file("2.parquet", pa.table({"x": [3, 4, 5], "y": [1, 2, 2]}))]
    found = learn(tables.read_all(sources.resolve(words)), Roles("y", Task.CLASSIFICATION))
    assert len(found.schema.target.classes) == 2
    assert encode_target(found.rows, found.schema).tolist() == [0, 1, 0, 1, 1]


def test_a_class_of_one_row_is_left_out_and_named():
    found = learned_of(["a", "b", "a", "rare", "b"])
    assert found.schema.target.classes == ("a", "b")
    assert found.rows.column("y").to_pylist() == ["a", "b", "a", "b"]
    assert found.rows.column("x").to_pylist() == [0, 1, 2, 4]
    assert found.rows.locate(3) == "t.csv, row 5"
    assert found.notes == ("the target 'y' has the class 'rare' in one row only, which is left out",)


def test_several_classes_of_one_row_are_left_out_and_the_first_are_named():
    found = learned_of(["a", "b"] * 8 + list("cdefgh"))
    assert found.notes == (
        "the target 'y' has 6 classes in one row only ('c', 'd', 'e', 'f', 'g', …); these rows are left out",
    )


def test_where_most_rows_are_alone_in_their_class_the_target_is_no_class():
    with pytest.raises(DataError) as caught:
        learned_of(["a", "b"] * 3 + list("cdefghi"))
    assert str(caught.value) == (
        "the target 'y' has the class 'c' in one row only (and 6 more such classes); add rows of it, or remove it; "
        "a number is predicted with --task regression"
    )


def learned_of(labels: list[str]) -> Learned:
    return learn([text(x=[str(i) for i in range(len(labels))], y=labels)], Roles("y"))


def schema_of(*classes: object, arrow_type: str = "") -> Schema:
    return Schema((Column("n", "number", "double"),), Target("y", Task.CLASSIFICATION, arrow_type, classes))


@pytest.mark.parametrize(
    ("schema", "rows", "codes"),
    [
        (schema_of("01", "1"), text(y=["1", "01", "1.0", "001", "+1"]), [1, 0, 1, NO_CLASS, NO_CLASS]),
        (schema_of("1.0", "2.0"), text(y=["1", "2.0", "NA", " 1.0 ", "3"]), [0, 1, NAN, 0, NO_CLASS]),
        (schema_of("1.0", "2.0"), typed(y=[1, 2, None, 3]), [0, 1, NAN, NO_CLASS]),
        (schema_of(1, 2), text(y=["01", "+2", "1e0", "3", "x", "?"]), [0, 1, 0, NO_CLASS, NO_CLASS, NAN]),
        (schema_of("1.00", "2.50", arrow_type="decimal128(10, 2)"), typed(y=[2.5, 1.0, 2.51]), [1, 0, NO_CLASS]),
        (schema_of("1.00", "2.50", arrow_type="decimal128(10, 2)"), text(y=["1", "2.50", "1.00"]), [0, 1, 0]),
        (schema_of(1.5, 2.0), typed(y=[Decimal("1.50"), Decimal("2.00")]), [0, 1]),
        (schema_of(2**53, 2**53 + 1), text(y=[str(2**53 + 1), str(2**53), str(2**53 + 2)]), [1, 0, NO_CLASS]),
        (schema_of(2**63 + 5, 2**63 + 6), typed(y=pa.array([2**63 + 6, 2**63 + 5], pa.uint64())), [1, 0]),
        (schema_of("False", "True"), typed(y=[True, False, None]), [1, 0, NAN]),
        (schema_of("False", "True"), text(y=["true", "0", "1", "NA", "2"]), [1, 0, 1, NAN, NO_CLASS]),
        (schema_of(False, True), text(y=["True", "no"]), [1, NO_CLASS]),
        (schema_of("NA", "b"), text(y=["NA", "b", "NULL", ""]), [0, 1, NO_CLASS, NAN]),
        (schema_of(0.10000000149011612, arrow_type="float"), typed(y=pa.array([0.1], pa.float32())), [0]),
        (schema_of("2024-01-01", "b"), typed(y=pa.array([19_723], pa.int32()).cast(pa.date32())), [0]),
    ],
)
def test_a_class_is_known_in_every_type_and_another_is_none(schema, rows, codes):
    assert np.array_equal(encode_target(rows, schema), codes, equal_nan=True)


def test_a_class_that_two_labels_could_be_is_neither():
    assert encode_target(text(y=["1.00", "1", "1.0"]), schema_of("1", "1.0")).tolist() == [NO_CLASS, 0, 1]


def test_a_float_that_is_no_label_merges_with_none():
    """A float holds only every second integer here: it is not taken for its neighbours."""
    codes = encode_target(typed(y=[float(2**53)]), schema_of(2**53, 2**53 + 1))
    assert codes.tolist() == [0]
    assert encoding.encode_target(text(y=["9007199254740993.5"]), schema_of(2**53, 2**53 + 1)).tolist() == [NO_CLASS]
