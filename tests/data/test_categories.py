"""Columns of text: which values are told apart, and the true reason why one is no feature."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data import categories, encoding
from resmem_cli.data.inference import Learned, Roles, learn
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema, Task

N = 3_000


def rows_of(values: list[str | None], *, is_text: bool = False, y: list[float] | None = None) -> Rows:
    x = [float(i) for i in range(len(values))]
    columns = {"c": pa.array(values, pa.string()), "x": pa.array(x), "y": pa.array(y or [each + 0.5 for each in x])}
    table = pa.table(columns)
    if is_text:
        table = pa.table({name: column.cast(pa.string()) for name, column in zip(columns, table.columns, strict=True)})
    return Rows(table, ((0, "t", 1),), is_text=is_text)


def learned(values: list[str | None], **roles: object) -> Learned:
    return learn([rows_of(values)], Roles("y", **roles))


def why_not(values: list[str | None]) -> str:
    found = learned(values)
    assert found.schema.names == ("x",)
    (note,) = found.notes
    return note


ZIPCODES: list[str | None] = [f"z{i % 900:05}" for i in range(N)]


def test_a_category_of_many_values_that_come_again_is_a_feature_with_a_level_for_each() -> None:
    found = learned(ZIPCODES)
    column = found.schema.columns[0]
    assert (column.name, column.kind, column.has_rest) == ("c", Kind.CATEGORY, True)
    assert len(column.categories) == categories.MAX_CATEGORIES
    assert column.levels == tuple(sorted({*ZIPCODES}))
    assert (found.schema.n_categories, found.schema.n_levels, found.schema.width) == ((255, 0), {0: 900}, 3)


def test_a_value_of_one_row_has_no_level_and_few_values_need_none() -> None:
    values = [*ZIPCODES[:-2], "once", "only"]
    assert not {"once", "only"} & {*learned(values).schema.columns[0].levels}
    assert learned([f"c{i % 254}" for i in range(N)]).schema.columns[0].levels == ()


def test_no_more_levels_are_told_apart_than_the_most_frequent_hundred_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MAX_LEVELS", 300)
    values = [f"z{i % 900:05}" for i in range(1_800)] + [f"z{i % 300:05}" for i in range(600)]
    assert learned(values).schema.columns[0].levels == tuple(f"z{i:05}" for i in range(300))


def test_of_more_than_ten_classes_and_of_imported_models_no_levels_are_told_apart() -> None:
    rows = rows_of(ZIPCODES, y=[float(i % 11) for i in range(N)])
    schema = learn([rows], Roles("y", task=Task.CLASSIFICATION)).schema
    assert (len(schema.target.classes), schema.n_levels) == (11, {})
    assert learned(ZIPCODES, with_levels=False, categories=["c"]).schema.n_levels == {}


def test_rows_are_encoded_with_the_codes_of_their_levels_and_only_what_is_no_level_is_unknown() -> None:
    schema = learned(ZIPCODES).schema
    levels = schema.columns[0].levels
    rare = next(each for each in levels if each not in schema.columns[0].categories)
    X, surprises = encoding.encode(rows_of([levels[0], rare, "new", None, levels[-1]]), schema)
    np.testing.assert_array_equal(X[:, 2], [0, levels.index(rare), np.nan, np.nan, 899])
    assert X[1, 0] == X[2, 0] == 254
    assert (surprises.unknown, surprises.missing) == ({"c": 1}, {"c": 1})


def test_levels_survive_json_and_those_of_a_column_that_is_no_such_category_are_refused() -> None:
    schema = learned(ZIPCODES).schema
    stored = schema.to_json()
    assert Schema.from_json(stored) == schema
    stored["columns"][1]["levels"] = ["a"]
    with pytest.raises(ValueError, match="is no category and has some"):
        Schema.from_json(stored)
    stored["columns"][1]["levels"] = []
    stored["columns"][0]["has_rest"] = False
    with pytest.raises(ValueError, match="more levels than categories"):
        Schema.from_json(stored)


def test_ids_are_told_as_ids() -> None:
    assert why_not([f"u{i}" for i in range(N)]) == (
        "the column 'c' has another value in each of 3,000 rows, as ids have, and is not used as a feature "
        "(--id 'c' to name rows by it)"
    )


def test_values_that_seldom_come_again_are_told_with_their_number() -> None:
    values: list[str | None] = [f"u{i}" for i in range(2_400)] + ["often"] * 600
    assert why_not(values) == (
        "the column 'c' has 2,401 distinct values in 3,000 rows and is not used as a feature (--category 'c' to use it)"
    )


def test_free_text_is_told_with_the_way_to_use_it() -> None:
    assert why_not([f"the customer number {i} wrote about an invoice" for i in range(N)]) == (
        "the column 'c' holds free text (8 words a row) and is not used as a feature (to use it, add a column of its "
        "embeddings, lists of numbers that a language model makes of it)"
    )


def test_numbers_that_a_typed_format_stores_as_text_are_told() -> None:
    assert why_not([f"{i}.25" for i in range(N)]) == (
        "the column 'c' holds numbers stored as text and is not used as a feature (store them as numbers; "
        "--category 'c' to use them as categories)"
    )


def test_an_empty_column_is_told_as_before() -> None:
    assert why_not([None] * N) == "the column 'c' is missing in every row and is not used as a feature"


def test_ids_may_be_forced_to_be_categories_but_say_nothing_where_each_is_in_one_row() -> None:
    found = learned([f"u{i}" for i in range(N)], categories=["c"])
    assert found.schema.names == ("x",)
    assert learned([f"u{i % 2_000}" for i in range(N)], categories=["c"], with_levels=False).schema.names == ("x",)
