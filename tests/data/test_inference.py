"""What is learned of a training table: features and their kinds, target and task, and what the user is told."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmem_cli.data import categories, sources, tables
from resmem_cli.data.inference import Learned, Roles, learn
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError, UsageError

Y = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
NAN = float("nan")


def typed(source="t.parquet", **columns) -> Rows:
    return Rows(pa.table(columns), ((0, source, 1),), is_text=False)


def text(source="t.csv", **columns) -> Rows:
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return Rows(table, ((0, source, 1),), is_text=True)


def learned(*parts: Rows, target="y", **roles) -> Learned:
    return learn(parts, Roles(target, **roles))


def kinds_of(found: Learned) -> dict[str, Kind]:
    return {column.name: column.kind for column in found.schema.columns}


def message(*parts: Rows, error=DataError, **roles) -> str:
    with pytest.raises(error) as caught:
        learned(*parts, **roles)
    return str(caught.value)


def test_every_column_without_another_role_is_a_feature_of_the_kind_of_its_values():
    found = learned(
        text(
            n=["1", "2", "3", "4", "5", "NA"],
            f=["0.5", "", "1e3", "4", "5", "6"],
            b=["true", "False", "NA", "true", "true", "true"],
            t=["2024-01-01"] * 6,
            c=["a", "b", "a", "b", "a", "b"],
            id=list("uvwxyz"),
            w=["1"] * 6,
            dropped=["x"] * 6,
            y=[str(value) for value in Y],
        ),
        id_column="id",
        weight_column="w",
        drop=["dropped"],
    )
    assert kinds_of(found) == {
        "n": Kind.NUMBER,
        "f": Kind.NUMBER,
        "b": Kind.BOOLEAN,
        "t": Kind.TIMESTAMP,
        "c": Kind.CATEGORY,
    }
    assert [column.arrow_type for column in found.schema.columns] == [
        "int64",
        "double",
        "bool",
        "timestamp[us]",
        "string",
    ]
    assert found.schema.target == Target("y", Task.REGRESSION, "double")
    assert (found.schema.id_column, found.schema.weight_column) == ("id", "w")
    assert found.notes == ()


def test_typed_input_gives_the_same_schema_as_text():
    columns = {
        "n": [1, 2, 3, 4, 5, 6],
        "b": [True, False, True, False, True, None],
        "c": ["a", "b", "a", "b", "a", "b"],
        "y": Y,
    }
    written = {name: ["" if v is None else str(v) for v in values] for name, values in columns.items()}
    assert learned(typed(**columns)).schema == learned(text(**written)).schema


def test_features_are_taken_in_the_order_they_are_named_and_once():
    rows = typed(a=Y, b=Y, c=Y, y=Y)
    assert learned(rows, features=["c", "a", "c"]).schema.names == ("c", "a")


@pytest.mark.parametrize(("last", "kind", "arrow_type"), [("0.5", Kind.NUMBER, "double"), ("7", Kind.NUMBER, "int64")])
def test_a_kind_is_inferred_from_all_rows_not_from_the_first_ones(file, last, kind, arrow_type):
    path = file("a.csv", "x,y\n" + "".join(f"{i},{i / 2}\n" for i in range(100_000)) + f"{last},1.5\n")
    found = learn(tables.read_all(sources.resolve([path])), Roles("y"))
    assert [(column.kind, column.arrow_type) for column in found.schema.columns] == [(kind, arrow_type)]
    assert found.rows.column("x")[-1].as_py() == float(last)


def test_a_word_after_a_hundred_thousand_numbers_is_named_with_its_row(file):
    path = file("a.csv", "x,y\n" + "1,2\n" * 99_999 + "oops,1\n")
    with pytest.raises(DataError) as caught:
        learn(tables.read_all(sources.resolve([path])), Roles("y"))
    assert str(caught.value) == (
        f"{path}, row 100,000: column 'x' holds 'oops' where 99.9% of the values are numbers; "
        "correct it, or use --category 'x' if the column is categorical"
    )


def test_a_word_among_numbers_in_a_dropped_column_or_a_forced_category_is_no_mistake():
    rows = text(x=["1"] * 19 + ["oops"], y=[str(i / 2) for i in range(20)], z=["1"] * 20)
    assert learned(rows, drop=["x"]).schema.names == ("z",)
    assert kinds_of(learned(rows, categories=["x"]))["x"] is Kind.CATEGORY


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        pytest.param(["b", "a", "c"] * 4, Task.CLASSIFICATION, ("a", "b", "c"), id="words"),
        pytest.param([True, False] * 6, Task.CLASSIFICATION, (False, True), id="booleans"),
        pytest.param([1, 0, 0, 0, 0, 1] * 2, Task.CLASSIFICATION, (0, 1), id="two integers"),
        pytest.param([5] * 2 + [-5] * 10, Task.CLASSIFICATION, (-5, 5), id="two integers, one rare"),
        pytest.param([1, 2, 3] * 5, Task.CLASSIFICATION, (1, 2, 3), id="few integers, each often"),
        pytest.param([1, 2, 3] * 4, Task.REGRESSION, (), id="few integers, each seldom"),
        pytest.param(list(range(20)) * 5, Task.CLASSIFICATION, tuple(range(20)), id="twenty integers"),
        pytest.param(list(range(21)) * 5, Task.REGRESSION, (), id="twenty-one integers"),
        pytest.param([1.0, 2.0, 3.0] * 5, Task.CLASSIFICATION, (1.0, 2.0, 3.0), id="few whole floats"),
        pytest.param([1.5, 2.5] * 6, Task.REGRESSION, (), id="two fractions"),
        pytest.param([0.1 * i for i in range(12)], Task.REGRESSION, (), id="many fractions"),
        pytest.param([Decimal("1"), Decimal("2")] * 6, Task.CLASSIFICATION, (1, 2), id="two whole decimals"),
        pytest.param([Decimal("1.5"), Decimal("2.5")] * 6, Task.REGRESSION, (), id="two decimal fractions"),
    ],
)
@pytest.mark.parametrize("is_text", [True, False])
def test_the_task_is_guessed_from_the_target(values, task, classes, is_text):
    if is_text:
        # "True" and "1.0" are written otherwise than these values are: labels come back as they were written.
        classes = tuple(str(value) for value in classes) if isinstance(values[0], bool | float) else classes
        found = learned(text(x=[str(i) for i in range(len(values))], y=[str(value) for value in values]))
    else:
        found = learned(typed(x=range(len(values)), y=values))
    assert found.schema.target.task is task
    assert found.schema.target.classes == classes
    guessed = task is Task.CLASSIFICATION and not isinstance(values[0], str | bool)
    assert found.notes == (
        (
            f"the target 'y' has {len(classes)} distinct integers, used as class labels "
            "(--task regression to predict numbers)",
        )
        if guessed
        else ()
    )


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        (pa.array([1.5, 2.5] * 3, pa.float32()), (1.5, 2.5)),
        (pa.array([1.0, 2.0] * 3, pa.float16()), (1.0, 2.0)),
        (pa.array([0.0, -0.0, 1.0] * 2), (0.0, 1.0)),
        (pa.array([Decimal("1.50"), Decimal("2.00")] * 3), ("1.50", "2.00")),
        (pa.array([Decimal("10"), Decimal("9")] * 3, pa.decimal128(38, 0)), (9, 10)),
        (pa.array([2**63 + 1, 2**64 - 1] * 3, pa.uint64()), (2**63 + 1, 2**64 - 1)),
        (pa.array([2**53, 2**53 + 1] * 3), (2**53, 2**53 + 1)),
        (pa.array([1, 2] * 3, pa.uint8()), (1, 2)),
        (pa.array(["a", "b"] * 3, pa.string_view()), ("a", "b")),
        (pa.array(["a", "b"] * 3, pa.large_string()), ("a", "b")),
        (pa.array(["a", "b"] * 3).dictionary_encode(), ("a", "b")),
        (pa.array([1, 2] * 3).dictionary_encode(), (1, 2)),
    ],
)
def test_the_classes_are_plain_values_whatever_the_type_of_the_target(column, classes):
    found = learned(typed(x=range(6), y=column), task=Task.CLASSIFICATION)
    assert found.schema.target.classes == classes
    assert [type(value) for value in found.schema.target.classes] == [type(value) for value in classes]
    json.dumps(found.schema.to_json())


def test_the_task_may_be_said():
    assert learned(typed(x=range(4), y=[1, 2, 1, 2]), task=Task.REGRESSION).schema.target == Target(
        "y", Task.REGRESSION, "int64"
    )
    found = learned(typed(x=range(4), y=[1.5, 2.5, 1.5, 2.5]), task=Task.CLASSIFICATION)
    assert found.schema.target.classes == (1.5, 2.5)
    assert found.notes == ()


def test_a_numeric_target_may_be_forced_to_be_names():
    found = learned(text(x=list("123456"), y=["01", "02", "01"] * 2), categories=["y"])
    assert found.schema.target.classes == ("01", "02")


def test_words_cannot_be_regressed():
    rows = text(x=list("1234"), y=["a", "b", "a", "b"])
    assert message(rows, task=Task.REGRESSION) == (
        "t.csv, row 1: column 'y' holds 'a', which is not a number; correct it, or leave it empty if it is unknown"
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["a", "a", "b"], "the target 'y' has the class 'b' in one row only"),
        (["a", "a", "b", "c", "d"], "the target 'y' has the class 'b' in one row only (and 2 more such classes)"),
        ([0, 0, 0, 1], "the target 'y' has the class '1' in one row only"),
    ],
)
def test_a_class_of_one_row_is_refused(values, sentence):
    assert message(typed(x=range(len(values)), y=values)) == (
        f"{sentence}; add rows of it, or remove it; a number is predicted with --task regression"
    )


@pytest.mark.parametrize(
    ("values", "shown"), [([1.5] * 4, "1.5"), (["a"] * 4, "a"), ([True, True, None, True], "True")]
)
def test_a_constant_target_is_refused(values, shown):
    n = sum(value is not None for value in values)
    assert message(typed(x=range(4), y=values)) == (
        f"the target 'y' has the same value, '{shown}', in all {n} rows; "
        "there is nothing to learn: give rows that differ"
    )


@pytest.mark.parametrize(
    "values",
    [[None] * 3, [NAN] * 3, pa.nulls(3), pa.array(["", None, ""]), pa.array(["", "", None]).dictionary_encode()],
)
def test_a_target_that_is_missing_everywhere_is_refused(values):
    assert message(typed(x=range(3), y=values)) == (
        "t.parquet: the target 'y' is missing in every row; give labelled rows"
    )


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [(["2024-01-01", "2024-01-02"], "timestamp[us]"), ([[1], [2]], "list<item: int64>"), ([b"1", b"2"], "binary")],
)
def test_a_target_that_is_neither_number_nor_class_is_refused(values, arrow_type):
    rows = text(x=["1", "2"], y=values) if isinstance(values[0], str) else typed(x=[1, 2], y=values)
    assert message(rows) == f"the target 'y' has the type {arrow_type}; choose a numeric or categorical column"


@pytest.mark.parametrize("values", [[0.5, float("inf")] * 3, [0.0, float("inf")] * 6])
def test_an_infinite_target_is_refused_and_never_a_class(values):
    assert message(typed(x=range(len(values)), y=values)) == (
        "t.parquet, row 2: column 'y' holds an infinite value; "
        "replace it by a number, or leave it empty if it is unknown"
    )


@pytest.mark.parametrize(
    "values",
    [
        [0.5, None, NAN, 1.5, None, 2.5, 3.5],
        ["a", "", None, "b", "", "a", "b"],
        pa.array(["a", "", None, "b", "", "a", "b"]).dictionary_encode(),
        pa.array(["a", "", None, "b", "", "a", "b"], pa.string_view()),
        [True, None, None, False, None, True, False],
    ],
)
def test_rows_without_a_target_are_dropped_and_counted(values):
    found = learned(typed(x=[10, 11, 12, 13, 14, 15, 16], y=values))
    assert found.rows.column("x").to_pylist() == [10, 13, 15, 16]
    assert found.notes == ("3 of 7 rows have no target 'y' and are left out",)


def test_a_wrong_value_after_dropped_rows_is_named_with_its_row_in_the_file():
    rows = typed(x=[1.0, 2.0, 3.0, float("inf"), 5.0], y=[None, 0.5, None, 1.5, 2.5])
    assert message(rows).startswith("t.parquet, row 4: column 'x' holds an infinite value")


def test_a_wrong_value_after_dropped_rows_of_several_files_is_named_with_its_file_and_row():
    one = typed("1.parquet", x=[1.0, 2.0, 3.0], y=[None, 0.5, None])
    two = typed("2.parquet", x=[1.0, 2.0, float("inf")], y=[None, 1.5, 2.5])
    assert message(one, two).startswith("2.parquet, row 3: column 'x' holds an infinite value")


def test_the_learned_rows_still_know_their_files_after_rows_were_dropped(file):
    words = [file("1.csv", "x,y\n1,\n2,0.5\n"), file("2.csv", "y,x\n,3\n1.5,4\n2.5,5\n")]
    found = learn(tables.read_all(sources.resolve(words)), Roles("y"))
    assert found.rows.column("x").to_pylist() == [2, 4, 5]
    assert [found.rows.locate(i) for i in range(3)] == [
        f"{words[0]}, row 2",
        f"{words[1]}, row 2",
        f"{words[1]}, row 3",
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(6),
        pa.array([None] * 6, pa.int64()),
        pa.array([NAN] * 6),
        pa.array([NAN, None] * 3),
        pa.array([""] * 6),
        pa.array(["", None] * 3).dictionary_encode(),
        pa.array([None] * 6, pa.date32()),
    ],
)
def test_a_feature_that_is_missing_everywhere_is_left_out_with_a_note_or_refused_if_it_was_asked_for(column):
    found = learned(typed(x=column, z=range(6), y=Y))
    assert found.schema.names == ("z",)
    assert found.notes == ("the column 'x' is missing in every row and is not used as a feature",)
    assert message(typed(x=column, z=range(6), y=Y), features=["x", "z"]) == (
        "t.parquet: the column 'x' is missing in every row; leave it out with --drop 'x'"
    )
    assert learned(typed(x=column, z=range(6), y=Y), drop=["x"]).schema.names == ("z",)


def test_text_that_is_missing_everywhere_is_left_out_too_and_all_such_columns_are_told_at_once():
    found = learned(text(x=["", "NA", None], z=["1", "2", "3"], e=["", "", ""], y=["1.5", "2.5", "3.5"]))
    assert found.schema.names == ("z",)
    assert found.notes == ("the columns 'x', 'e' are missing in every row and are not used as features",)


def test_a_table_of_empty_columns_alone_is_refused_with_the_reason():
    assert message(text(x=["", "NA", None], y=["1.5", "2.5", "3.5"])) == (
        "t.csv has no column that can be a feature (the column 'x' is missing in every row and is not used as a "
        "feature); add columns, or check --features and --drop"
    )


def test_a_feature_that_is_missing_in_every_labelled_row_is_left_out():
    found = learned(typed(x=[1.0, None, None], z=[1, 2, 3], y=[None, 0.5, 1.5]))
    assert found.schema.names == ("z",)
    assert found.notes[1:] == ("the column 'x' is missing in every row and is not used as a feature",)


def test_codes_with_leading_zeros_are_a_category_from_csv_as_from_parquet():
    codes = ["00501", "01010", "10001"] * 4
    written = text(zip=codes, x=[str(i) for i in range(12)], y=[str(i / 2) for i in range(12)])
    found = learned(written)
    assert found.schema.columns[0] == Column("zip", Kind.CATEGORY, "string", ("00501", "01010", "10001"))
    assert found.notes == (
        "the column 'zip' has numbers with leading zeros ('00501') and is used as categorical "
        "(write them without these zeros to get numbers)",
    )
    parquet = typed(zip=codes, x=range(12), y=[i / 2 for i in range(12)])
    assert learned(parquet).schema.columns[0] == found.schema.columns[0]
    assert learned(written, categories=["zip"]).notes == learned(parquet).notes == ()


def test_text_that_is_mostly_numbers_is_left_out_or_taken_with_the_true_reason():
    numbers = [str(i / 7) for i in range(880)] + ["-"] * 120
    rows = text(
        n=numbers, few=["1", "2", "3"] * 250 + ["?", "-"] * 125, x=["1"] * 1000, y=[str(i / 2) for i in range(1000)]
    )
    found = learned(rows)
    assert [(column.name, column.kind) for column in found.schema.columns] == [
        ("few", Kind.CATEGORY),
        ("x", Kind.NUMBER),
    ]
    assert found.notes == (
        "the column 'n' holds 88 % numbers, 12 % '-' and is not used as a feature (leave '-' empty to get numbers, or "
        "--category 'n' to use it as it is)",
        "the column 'few' holds 85.7 % numbers, 14.3 % '-' and is used as categorical (leave '-' empty to get "
        "numbers; --category 'few' to do so without this note)",
    )


def test_two_writings_of_one_value_are_one_category_and_this_is_said():
    rows = text(c=["1.0", "1", "1", "1", "x", "x", "x", "1.0"], x=list("12345678"), y=[f"{i}.5" for i in range(8)])
    found = learned(rows, categories=["c"])
    assert found.schema.columns[0].categories == ("1", "x")
    assert found.notes == ("the column 'c' writes '1' also as '1.0': taken as one category, '1'",)


def test_columns_that_are_wrong_in_several_ways_are_told_at_once():
    found = message(
        text(a=["1"] * 19 + ["x"], b=["true"] * 19 + ["y"], c=["a", "b"] * 10, y=[str(i / 2) for i in range(20)])
    )
    assert found == (
        "t.csv, row 20: column 'a' holds 'x' where 95.0% of the values are numbers; t.csv, row 20: column 'b' holds "
        "'y' where 95.0% of the values are true or false; correct these, use --category 'a,b' if they are categorical, "
        "or leave them out with --drop 'a,b'"
    )
    many = {f"c{i}": [1.0, float("inf"), 2.0] for i in range(8)}
    found = message(typed(**many, y=[0.5, 1.5, 2.5]))
    assert found.count("an infinite value") == 5
    assert "; and 3 more columns; " in found


@pytest.mark.parametrize("value", [1.797e308, -1e200, 1e38])
def test_a_target_too_large_to_compute_with_is_refused_with_its_row(value):
    most = 1e150 if abs(value) > 1e150 else 1e37
    assert message(typed(x=range(4), y=[0.5, 1.5, value, 2.5])) == (
        f"t.parquet, row 3: column 'y' holds {value:.4g}, too large to compute with (beyond {most:g}); "
        "replace it by a number, or leave it empty if it is unknown"
    )


def test_rows_of_weight_zero_count_for_nothing():
    rows = typed(
        c=list("aaabbbzzz"),
        x=[*range(8), None],
        y=list("uuuvvvvvw"),
        w=[1.0, 2, 1, 1, 1, 1, 0, 0, 0],
        e=[None] * 6 + [1] * 3,
    )
    found = learned(rows, weight_column="w")
    assert found.schema.columns[0].categories == ("a", "b")
    assert found.schema.target.classes == ("u", "v")
    assert found.rows.column("x").to_pylist() == [0, 1, 2, 3, 4, 5]
    assert found.notes == (
        "3 of 9 rows have the weight 0 ('w') and are left out",
        "the column 'e' is missing in every row and is not used as a feature",
    )


def test_text_of_instants_is_instants_from_every_format(file):
    days = [f"2024-01-0{1 + i}" for i in range(6)]
    csv = text(day=days, y=[str(value) for value in Y])
    for rows in (csv, typed(day=days, y=Y), typed(day=pa.array(days).dictionary_encode(), y=Y)):
        assert kinds_of(learned(rows)) == {"day": Kind.TIMESTAMP}
        assert kinds_of(learned(rows, categories=["day"], rarest_category=1)) == {"day": Kind.CATEGORY}


def test_text_of_a_typed_format_that_names_a_class_is_never_an_instant():
    assert learned(typed(x=Y, y=["2024-01-01", "2024-01-02"] * 3)).schema.target.classes == ("2024-01-01", "2024-01-02")


MANY = [f"name {i // 3 if i < 900 else i}" for i in range(1_201)]  # 300 names of three rows, 301 of one


def many_names() -> Rows:
    numbers = [str(i) for i in range(len(MANY))]
    return text(name=MANY, x=numbers, y=[f"{number}.5" for number in numbers])


@pytest.mark.parametrize("roles", [{"categories": ["name"]}, {"features": ["name"]}])
def test_text_of_many_distinct_values_is_kept_if_it_is_asked_for(roles):
    found = learned(many_names(), **roles)
    column = found.schema.columns[0]
    assert (column.name, column.kind, column.has_rest) == ("name", Kind.CATEGORY, True)
    assert len(column.categories) == categories.MAX_CATEGORIES
    assert found.notes == ()


def test_as_many_categories_as_a_column_can_hold_need_no_rest():
    n = categories.MAX_CATEGORIES
    found = learned(typed(c=[f"c{i % n:03}" for i in range(3 * n)], y=[i / 2 for i in range(3 * n)]))
    assert found.schema.columns[0].categories == tuple(f"c{i:03}" for i in range(n))
    assert not found.schema.columns[0].has_rest


def test_rare_categories_are_pooled_and_the_frequent_ones_sorted():
    values = ["b"] * 3 + ["a"] * 4 + ["rare"] * 2 + ["once"] + [None, ""]
    found = learned(typed(c=values, y=[i / 2 for i in range(len(values))]))
    assert found.schema.columns == (Column("c", Kind.CATEGORY, "string", ("a", "b"), has_rest=True),)
    assert found.schema.n_categories == (3,)


def test_categories_that_are_all_rare_are_left_out_with_a_note():
    found = learned(typed(c=list("aabbcd"), x=Y, y=Y))
    assert found.schema.names == ("x",)
    assert found.notes == ("the column 'c' has no value in 3 rows or more and is not used as a feature",)


@pytest.mark.parametrize(
    ("column", "arrow_type"),
    [
        (pa.array([["a"]] * 6), "list<item: string>"),
        (pa.array([{"a": 1}] * 6), "struct<a: int64>"),
        (pa.array([b"x"] * 6), "binary"),
        (pa.array([dt.time(1)] * 6), "time64[us]"),
    ],
)
def test_a_column_of_no_use_is_left_out_with_a_note_or_refused_if_it_was_asked_for(column, arrow_type):
    rows = typed(e=column, x=Y, y=Y)
    found = learned(rows)
    assert found.schema.names == ("x",)
    assert found.notes == (f"the column 'e' of type {arrow_type} is not used as a feature",)
    assert message(rows, features=["e"]) == (
        f"t.parquet: the column 'e' of type {arrow_type} cannot be a feature; drop it"
    )
    assert message(rows, categories=["e"]).startswith(
        f"t.parquet: column 'e' has the type {arrow_type}, where categories"
    )


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("", "a column without a name (an index?) is not used as a feature"),
        ("__index_level_0__", "the index column '__index_level_0__' is not used as a feature"),
    ],
)
def test_the_index_of_a_data_frame_is_no_feature_unless_it_is_asked_for(name, note):
    rows = typed(**{name: range(6)}, x=Y, y=Y)
    found = learned(rows)
    assert found.schema.names == ("x",)
    assert found.notes == (note,)
    assert learned(rows, features=[name]).schema.names == (name,)


def test_vectors_of_one_length_are_features():
    found = learned(typed(e=[[1.0, 2.0]] * 6, x=Y, y=Y))
    assert found.schema.names == ("e", "x")
    assert found.schema.columns[0].kind is Kind.VECTOR
    assert (found.schema.columns[0].width, found.schema.n_categories, found.schema.vectors) == (
        2,
        (0, 0, 0),
        {"e": (0, 2)},
    )


def test_vectors_of_several_lengths_are_no_feature_unless_they_are_asked_for():
    rows = typed(e=[[1.0, 2.0]] * 5 + [[1.0]], x=Y, y=Y)
    what = "t.parquet, row 6: column 'e' holds a vector of 1 numbers, where 2 numbers are needed"
    assert learned(rows).notes == (f"the column 'e' is not used as a feature: {what}",)
    assert message(rows, features=["e"]) == what + "; give every row a vector of one length"


@pytest.mark.parametrize(
    ("lists", "what"),
    [
        pytest.param(pa.array([[]] * 6, pa.list_(pa.float64())), "a vector of 0 numbers", id="empty"),
        pytest.param(pa.array([[]] * 6, pa.list_(pa.float64(), 0)), "a vector of 0 numbers", id="of the length 0"),
        pytest.param([[]] * 5 + [[1.0]], "a vector of 0 numbers", id="the first is empty"),
        pytest.param([None] * 5 + [[1.0]], "no vector", id="the first is missing"),
    ],
)
def test_vectors_without_numbers_are_no_feature_unless_they_are_asked_for(lists, what):
    rows = typed(e=lists, x=Y, y=Y)
    what = f"t.parquet, row 1: column 'e' holds {what}, where at least one number is needed"
    assert learned(rows).notes == (f"the column 'e' is not used as a feature: {what}",)
    assert message(rows, features=["e"]) == what + "; give every row a vector of one length"


BEYOND = 2**53


@pytest.mark.parametrize(
    ("values", "is_rounded"),
    [
        pytest.param(pa.array([BEYOND, BEYOND + 1] * 3), True, id="int64"),
        pytest.param(pa.array([-BEYOND, -BEYOND - 1] * 3), True, id="negative"),
        pytest.param(pa.array([2**64 - 1, 0] * 3, pa.uint64()), True, id="uint64"),
        pytest.param(pa.array([Decimal(BEYOND + 1), Decimal(1)] * 3), True, id="decimals"),
        pytest.param(pa.array([BEYOND + 2, 2**60] * 3), False, id="that floats have"),
        pytest.param(pa.array([BEYOND - 1, BEYOND] * 3), False, id="up to 2^53"),
        pytest.param(pa.array([1e16, 1e300 / 1e200] * 3), False, id="floats"),
    ],
)
def test_whole_numbers_that_are_rounded_are_noted(values, is_rounded):
    note = (
        "the column 'k' has whole numbers beyond 9,007,199,254,740,992 (2^53), which are rounded, so that some may "
        "become equal (--category 'k' to tell them apart, --drop 'k' to leave them out)",
    )
    rows = typed(k=values, x=Y, y=Y)
    assert learned(rows).notes == note * is_rounded
    assert learned(rows, categories=["k"]).notes == ()
    as_text = [None if each is None else str(each) for each in values.to_pylist()]
    assert learned(text(k=as_text, x=list(map(str, Y)), y=list(map(str, Y)))).notes == note * is_rounded


def test_whole_numbers_that_are_rounded_are_noted_where_others_are_longer_or_broken():
    keys = ["9007199254740993", "0.5", "", " NA", "99999999999999999999999", "1e3"]
    (note,) = learned(text(k=keys, x=list(map(str, Y)), y=list(map(str, Y)))).notes
    assert note.startswith("the column 'k' has whole numbers beyond")


def test_a_table_without_a_usable_column_is_refused():
    assert message(typed(e=[["a"]] * 6, y=Y)) == (
        "t.parquet has no column that can be a feature (the column 'e' of type list<item: string> is not used as a "
        "feature); add columns, or check --features and --drop"
    )
    assert message(typed(y=Y)).startswith("t.parquet has no column that can be a feature")


@pytest.mark.parametrize(
    "roles", [{"id_column": "y"}, {"weight_column": "y"}, {"id_column": "x", "weight_column": "x"}]
)
def test_a_column_has_one_role(roles):
    assert message(typed(x=Y, y=Y), error=UsageError, **roles) == (
        "one column is given two of the roles --target, --id and --weight; give each its own column"
    )


@pytest.mark.parametrize(
    "roles",
    [
        {"features": ["x", "z"], "drop": ["z"]},
        {"features": ["z"], "id_column": "z"},
        {"features": ["z"], "target": "z"},
    ],
)
def test_a_feature_has_no_other_role(roles):
    assert message(typed(x=Y, y=Y, z=Y), error=UsageError, **roles) == (
        "'z' is named in --features and has another role; take it out of one of them"
    )


def test_all_absent_columns_are_named_at_once_with_those_that_are_there():
    found = message(
        typed(x=Y, y=Y), target="t", id_column="i", weight_column="w", features=["f", "x"], drop=["d"], categories=["f"]
    )
    assert found == "t.parquet has no column 't', 'i', 'w', 'f', 'd'; its columns are: x, y"


def test_files_of_different_columns_are_refused(file):
    words = [file("1.csv", "x,y\n1,2\n"), file("2.csv", "y,z\n1,2\n")]
    with pytest.raises(DataError) as caught:
        tables.read_all(sources.resolve(words))
    assert str(caught.value) == (
        f"{words[1]} and {words[0]} differ in the columns 'x', 'z'; give files of the same columns"
    )


def test_files_of_several_formats_and_types_are_learned_as_one(file):
    words = [
        file("1.csv", "c,x,y\na,1,0.5\nb,2,1.5\na,3,2.5\n"),
        file(
            "2.parquet", pa.table({"x": pa.array([4], pa.int8()), "c": pa.array(["a"]).dictionary_encode(), "y": [3.5]})
        ),
        file("3.arrow", pa.table({"y": [4.5], "c": pa.array(["b"], pa.string_view()), "x": [0.5]})),
        file("4.jsonl", '{"y": 5, "c": "b", "x": null}\n'),
    ]
    found = learn(tables.read_all(sources.resolve(words)), Roles("y"))
    assert kinds_of(found) == {"c": Kind.CATEGORY, "x": Kind.NUMBER}
    assert found.rows.column("x").to_pylist() == [1, 2, 3, 4, 0.5, None]
    assert [found.rows.locate(i) for i in (2, 3, 4, 5)] == [
        f"{words[0]}, row 3",
        *(f"{word}, row 1" for word in words[1:]),
    ]


def test_a_column_is_text_if_it_is_text_in_any_of_the_text_files(file):
    words = [file("1.csv", "x,y\n" + "1,0.5\n" * 3), file("2.csv", "x,y\n" + "a,1.5\n" * 3)]
    found = learn(tables.read_all(sources.resolve(words)), Roles("y"))
    assert found.schema.columns == (Column("x", Kind.CATEGORY, "string", ("1", "a")),)


def test_files_that_differ_in_a_type_are_refused():
    found = message(typed("1.parquet", x=[1, 2], y=[0.5, 1.5]), typed("2.parquet", x=["a", "b"], y=[0.5, 1.5]))
    assert found == ("the column 'x' is int64 in 1.parquet and string in 2.parquet; give it one type in all inputs")


def test_parquet_from_standard_input_is_learned(stdin, as_bytes):
    stdin(as_bytes("a.parquet", pa.table({"x": [1, 2, 3], "y": Y[:3]})))
    found = learn(tables.read_all(sources.resolve(["-"])), Roles("y"))
    assert kinds_of(found) == {"x": Kind.NUMBER}


def test_weights_of_zero_everywhere_are_refused():
    assert message(typed(x=Y, y=Y, w=[0.0] * 6), weight_column="w") == (
        "t.parquet: the weight 'w' is 0 in every row; give at least one row a positive weight"
    )


def test_rows_of_weight_0_teach_nothing_and_are_counted():
    """Neither categories nor classes nor the kind of a column."""
    found = learned(
        text(x=["1", "2"] * 3 + ["a"], c=["p"] * 6 + ["q"], w=["1"] * 6 + ["0"], y=["u", "v"] * 3 + ["rare"]),
        weight_column="w",
        rarest_category=1,
    )
    assert [column.categories for column in found.schema.columns] == [(), ("p",)]
    assert found.schema.columns[0].kind is Kind.NUMBER
    assert found.schema.target.classes == ("u", "v")
    assert "1 of 7 rows have the weight 0 ('w') and are left out" in found.notes


def test_columns_of_no_use_may_have_different_types_in_different_files():
    csv = text("1.csv", id=["a1"] * 3, w=["1"] * 3, note=["x"] * 3, x=["1", "2", "3"], y=["0.5", "1.5", "2.5"])
    parquet = typed("2.parquet", id=[1, 2, 3], w=[1, 2, 0], note=[1, 2, 3], x=[4, 5, 6], y=Y[:3])
    found = learned(csv, parquet, id_column="id", weight_column="w", drop=["note"])
    assert found.schema.names == ("x",)
    assert found.rows.column("w").to_pylist() == [1, 1, 1, 1, 2]  # a row of weight 0 is left out


@pytest.mark.parametrize("part", [typed(x=[1, 2] * 3, y=[1, 2] * 3), text(x=["1", "2"] * 3, y=["1", "2"] * 3)])
def test_forced_categories_are_text_from_every_format(part):
    found = learned(part, categories=["x", "y"])
    assert found.schema.columns == (Column("x", Kind.CATEGORY, "string", ("1", "2")),)
    assert found.schema.target == Target("y", Task.CLASSIFICATION, "string", ("1", "2"))
    assert found.notes == ()


names = st.text(max_size=8)
arrow_types = st.sampled_from(["int64", "string", "timestamp[us, tz=UTC]"])
of_categories = st.builds(
    Column,
    name=names,
    kind=st.just(Kind.CATEGORY),
    arrow_type=arrow_types,
    categories=st.lists(names, min_size=1, max_size=3).map(tuple),
    has_rest=st.booleans(),
)
of_vectors = st.builds(
    Column, name=names, kind=st.just(Kind.VECTOR), arrow_type=arrow_types, length=st.integers(1, 1_000)
)
of_others = st.builds(
    Column,
    name=names,
    kind=st.sampled_from(sorted(set(Kind) - {Kind.CATEGORY, Kind.VECTOR})),
    arrow_type=arrow_types,
)
classes = st.one_of(
    *(
        st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)
        for values in (
            names,
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.integers(0, (1 << 64) - 1),
            st.booleans(),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
targets = st.one_of(
    st.builds(Target, name=names, task=st.just(Task.REGRESSION), arrow_type=arrow_types),
    st.builds(Target, name=names, task=st.just(Task.CLASSIFICATION), arrow_type=arrow_types, classes=classes),
)
schemas = st.builds(
    Schema,
    columns=st.lists(
        of_categories | of_vectors | of_others, min_size=1, max_size=4, unique_by=lambda column: column.name
    ).map(tuple),
    target=targets,
    id_column=st.none() | names,
    weight_column=st.none() | names,
)


@settings(deadline=None)
@given(schemas)
def test_a_schema_survives_json(schema):
    stored = json.loads(json.dumps(schema.to_json()))
    found = Schema.from_json(stored)
    assert found == schema
    assert [type(value) for value in found.target.classes] == [type(value) for value in schema.target.classes]
    assert all(isinstance(column.kind, Kind) for column in found.columns)
    assert isinstance(found.target.task, Task)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored.pop("target"),
        lambda stored: stored["target"].pop("classes"),
        lambda stored: stored["target"].update(task="ranking"),
        lambda stored: stored["columns"][0].update(kind="image"),
        lambda stored: stored["columns"][0].update(surprise=1),
        lambda stored: stored["columns"][0].pop("name"),
        lambda stored: stored.update(columns=None),
        lambda stored: stored["target"].update(task="classification", classes=[-1, 2**63]),
        lambda stored: stored["target"].update(task="classification", classes=[0, 2**64]),
        lambda stored: stored["target"].update(
            task="classification", classes=["1", "2"], arrow_type="decimal128(99, 2)"
        ),
    ],
)
def test_a_mapping_that_is_no_schema_is_an_error_of_its_values(damage):
    stored = learned(typed(x=Y, y=Y)).schema.to_json()
    damage(stored)
    with pytest.raises((KeyError, TypeError, ValueError)):
        Schema.from_json(stored)


def test_a_schema_knows_the_columns_of_the_encoded_matrix():
    found = learned(typed(t=[dt.date(2024, 1, day) for day in range(1, 7)], c=list("aaabbb"), x=Y, y=Y))
    assert found.schema.n_categories == (0,) * 7 + (2, 0)


def test_a_schema_needs_its_features_target_id_and_weight():
    found = learned(typed(x=Y, i=Y, w=Y, other=Y, y=Y), id_column="i", weight_column="w", drop=["other"])
    assert found.schema.needed == {"x", "y", "i", "w"}


def test_class_names_are_the_classes_as_text():
    assert Target("y", Task.CLASSIFICATION, "", (True, False)).class_names == ("true", "false")
    assert Target("y", Task.CLASSIFICATION, "", ("1", "1.0", "a b")).class_names == ("1", "1.0", "a b")
    assert Target("y", Task.CLASSIFICATION, "", (1.0, 2.5)).class_names == ("1", "2.5")  # as CSV has these floats


LOST = 2**53 + 1  # which a float rounds
FLOATS = [0.5, None, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([1, LOST, 3, 4, 5, 6]), id="64 bits"),
        pytest.param(pa.array([1, LOST, 3, 4, 5, 6], pa.uint64()), id="64 bits without a sign"),
        pytest.param(pa.array(map(Decimal, [1, LOST, 3, 4, 5, 6]), pa.decimal128(38, 0)), id="a decimal"),
        pytest.param(pa.array(map(Decimal, [1, LOST, 3, 4, 5, 6]), pa.decimal256(76, 0)), id="a long decimal"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_whole_numbers_that_lose_digits_beside_fractions_of_another_file_are_refused(column, is_first):
    """As in a single file of JSON lines."""
    parts = [typed("a.jsonl", x=column, y=Y), typed("b.jsonl", x=FLOATS, y=Y)]
    assert message(*(parts if is_first else reversed(parts))) == (
        f"a.jsonl, row 2: column 'x' holds {LOST}, which would lose digits beside the fractions that the column has in "
        "another input; write the numbers of this column as text in all inputs"
    )


def test_whole_numbers_that_keep_their_digits_beside_fractions_are_features():
    large = [2**53 + 2, 12345678901234580000, 1, 2, 3, 4]
    for column in (pa.array(large, pa.uint64()), pa.array(map(Decimal, large), pa.decimal128(38, 0))):
        found = learned(typed("a.jsonl", x=column, y=Y), typed("b.jsonl", x=FLOATS, y=Y))
        assert found.rows.column("x").to_pylist() == [*map(float, large), *FLOATS]


def test_lists_of_whole_numbers_that_lose_digits_beside_fractions_are_refused():
    parts = [typed("a.jsonl", x=[[1, LOST]] * 6, y=Y), typed("b.jsonl", x=[[0.5, 1.5]] * 6, y=Y)]
    assert message(*parts).startswith(f"a.jsonl, row 1: column 'x' holds {LOST}, which would lose digits beside the ")


def test_categories_and_ids_lose_no_digits_beside_fractions():
    parts = [typed(f"{i}.jsonl", x=x, k=x, y=Y) for i, x in enumerate(([LOST] * 6, FLOATS))]
    found = learned(*parts, categories=["x"], id_column="k")
    assert found.rows.column("x").to_pylist()[:1] == found.rows.column("k").to_pylist()[:1] == [str(LOST)]


@pytest.mark.parametrize("role", ["id_column", "weight_column", "group_column", "time_column"])
def test_a_column_without_a_name_may_have_a_role_and_is_missed_where_it_is_not(role):
    """The index that pandas writes is such a column, and an option may get "" where a shell's variable was not set."""
    columns = {
        "": ["1", "2", "3", "4", "5", "6"],
        "x": ["1", "2", "3", "4", "5", "7"],
        "y": [str(value) for value in Y],
    }
    found = learned(text(**columns), **{role: ""})
    assert getattr(found.schema, role) == ""
    assert "" in {*found.schema.needed, *found.schema.relating}
    assert found.rows.column("").to_pylist() in ([1, 2, 3, 4, 5, 6], columns[""])
    del columns[""]
    assert message(text(**columns), **{role: ""}) == "t.csv has no column ''; its columns are: x, y"
