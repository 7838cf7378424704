"""`Model.score` as engines call it: batch by batch, in any process, with a schema that is known beforehand."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import threadpoolctl

from resmem_cli import Model, ResMemClassifier, ResMemRegressor, load
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import explanation
from resmem_cli.workflow.scoring import ScoreOptions, Scorer

QUICK: dict[str, Any] = {"base": "linear", "effort": "quick", "n_folds": 3, "threads": 1}
N_ROWS = 240

REGRESSION = {
    "all": ScoreOptions(),
    "base": ScoreOptions(base_only=True, prefix="base_"),
    "more": ScoreOptions(keep=["kind"], interval=0.8, with_support=True),
    "none": ScoreOptions(keep="none"),
}
CLASSES = {
    "all": ScoreOptions(),
    "base": ScoreOptions(base_only=True, with_probabilities=True),
    "more": ScoreOptions(with_probabilities=True, interval=0.8, with_support=True),
}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, N_ROWS))
    return pa.table({"a": a, "b": b, "kind": rng.choice(["red", "green", "blue"], N_ROWS)})


@pytest.fixture(scope="module")
def directories(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A regression and a classification of the same rows."""
    folder, signal = tmp_path_factory.mktemp("models"), rows["b"].to_numpy() + np.sin(3 * rows["b"].to_numpy())
    ResMemRegressor(**QUICK).fit(rows, signal).save(folder / "numbers")
    ResMemClassifier(**QUICK).fit(rows, np.digitize(signal, [-1, 1])).save(folder / "classes")
    return {name: folder / name for name in ("numbers", "classes")}


@pytest.fixture
def model(directories: dict[str, Path]) -> Model:
    return load(directories["numbers"])


EMPTY: dict[str, Callable[[pa.Table], Any]] = {
    "batch_of_a_slice": lambda rows: [rows.to_batches()[0].slice(0, 0)],
    "table_without_chunks": lambda rows: [pa.Table.from_batches([], rows.schema)],
    "table_of_a_slice": lambda rows: [rows.slice(0, 0)],
}
KINDS = [("numbers", name, each) for name, each in REGRESSION.items()]
KINDS += [("classes", name, each) for name, each in CLASSES.items()]
every_kind = pytest.mark.parametrize(
    ("which", "options"), [pytest.param(which, each, id=f"{which}_{name}") for which, name, each in KINDS]
)


@every_kind
@pytest.mark.parametrize("emptied", EMPTY.values(), ids=EMPTY)
def test_a_batch_without_rows_gives_one_with_the_same_columns_and_types(rows, directories, which, options, emptied):
    """An engine hands on partitions that a filter has emptied, and puts what comes back beside the others."""
    model = load(directories[which])
    (full,) = model.score([rows], options)
    (none,) = model.score(emptied(rows), options)
    assert none.num_rows == 0
    assert none.schema == full.schema


@every_kind
def test_the_schema_is_known_before_there_is_a_batch(rows, directories, which, options):
    model = load(directories[which])
    (scored,) = model.score([rows], options)
    assert model.score_schema(rows.schema, options) == scored.schema


def test_a_schema_allows_missing_values_wherever_the_output_does(rows, model):
    """Spark compares what it is given with what it was told: columns of the input lose that they are never missing."""
    strict = pa.schema([field.with_nullable(False) for field in rows.schema], {"written by": "someone"})
    told = model.score_schema(strict)
    assert all(field.nullable for field in told)
    assert told.equals(model.score_schema(rows.schema), check_metadata=True)
    (scored,) = model.score([rows.cast(strict)])
    assert scored.schema.equals(told, check_metadata=True)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["x", None, "x"]).dictionary_encode(),
        pa.array(["x", None, "y"], pa.large_string()),
        pa.array([[1, 2], [], None], pa.list_(pa.int16())),
        pa.array([None, 1, 2], pa.timestamp("us", "Europe/Zurich")),
        pa.nulls(3),
    ],
    ids=lambda values: str(values.type).partition("<")[0].partition("[")[0],
)
def test_a_column_that_is_passed_on_keeps_its_type_in_every_batch(rows, model, values):
    more = rows.slice(0, 3).append_column("more", values)
    told = model.score_schema(more.schema)
    assert told.field("more").type == values.type
    scored = list(model.score([more, more.slice(0, 0), more.slice(2)]))
    assert [batch.schema for batch in scored] == [told] * 3
    assert pa.Table.from_batches(scored)["more"].to_pylist() == [*values.to_pylist(), values[2].as_py()]


def test_a_schema_that_does_not_fit_is_refused_before_anything_is_scored(rows, model):
    with pytest.raises(DataError, match=r"^the batch lacks the column 'b', which the model needs; add it"):
        model.score_schema(rows.schema.remove(1))
    with pytest.raises(UsageError, match=r"^the batch has a column 'prediction' already"):
        model.score_schema(rows.schema.append(pa.field("prediction", pa.string())))


def test_two_columns_of_one_name_are_refused_as_a_join_may_leave_them(rows, model):
    with pytest.raises(DataError, match=r"^the batch names the column 'a' twice; rename or remove one of them$"):
        model.score_schema(rows.schema.append(rows.schema.field("a")))


def test_a_table_in_the_place_of_its_batches_is_refused(rows, model):
    sentence = "a batch is a ChunkedArray, and no record batch of Arrow; give for example table.to_batches()"
    with pytest.raises(DataError) as caught:
        list(model.score(rows))
    assert str(caught.value) == sentence


def test_the_base_alone_predicts_if_that_is_asked(rows, model):
    (scored,) = model.score([rows], ScoreOptions(keep="none", base_only=True))
    assert scored.schema.names == ["prediction"]
    np.testing.assert_array_equal(scored["prediction"].to_numpy(), model.predict(rows, base_only=True)[:, 0])
    with pytest.raises(UsageError, match=r"^--support and --interval need the memory, which --base-only leaves out"):
        model.score_schema(rows.schema, ScoreOptions(base_only=True, interval=0.8))


@pytest.mark.parametrize("n_at_once", [1, 7, N_ROWS])
def test_a_row_is_scored_alike_in_a_batch_of_any_size(rows, model, n_at_once):
    """But for the last digits, which depend on how a matrix product sums."""
    options = ScoreOptions(interval=0.8, with_support=True)
    (expected,) = model.score([rows], options)
    scored = pa.Table.from_batches(model.score(rows.to_batches(n_at_once), options))
    assert scored.select(rows.column_names) == rows
    for name in scored.column_names[rows.num_columns :]:
        np.testing.assert_allclose(scored[name].to_numpy(), expected[name].to_numpy(), rtol=1e-12)


def test_a_batch_has_one_thread_and_then_the_process_has_its_own_again(rows, model, monkeypatch):
    """With a worker per core a thread per core in each would have them wait for each other."""
    found: list[tuple[int, set[int]]] = []
    scores = Scorer.score

    def watched(self, batch, layout, threads):
        found.append((threads, {each["num_threads"] for each in threadpoolctl.threadpool_info()}))
        return scores(self, batch, layout, threads)

    monkeypatch.setattr(Scorer, "score", watched)
    with threadpoolctl.threadpool_limits(2):
        before = threadpoolctl.threadpool_info()
        for _ in model.score(rows.to_batches(100)):
            assert threadpoolctl.threadpool_info() == before
        list(model.score([rows], threads=2))
    assert found == [(1, {1})] * 3 + [(2, {2})]


def test_what_support_is_measured_against_is_found_once_and_again_when_the_memory_has_changed(
    rows, directories, monkeypatch
):
    """Ray calls for every batch anew."""
    asked: list[object] = []
    usual = explanation.usual_distances

    def watched(memory, **options):
        asked.append(memory)
        return usual(memory, **options)

    monkeypatch.setattr(explanation, "usual_distances", watched)
    model, options = load(directories["numbers"]), ScoreOptions(keep="none", with_support=True)
    for batch in rows.to_batches(100):
        list(model.score([batch], options))
    assert len(asked) == 1
    far = rows.slice(0, 50).set_column(0, "a", pa.array(np.linspace(50, 60, 50)))
    model.remember(model.labelled_rows(far, np.zeros(50)), force=True)
    (scored,) = model.score([far], options)
    measured = asked[-1]  # remember asks for those of the memory as it was, too
    assert measured is model._stored.resmem.members[0].memory
    assert scored == next(pickle.loads(pickle.dumps(model)).score([far], options))  # noqa: S301 - our own


def test_what_is_wrong_in_a_batch_names_the_value_and_survives_the_way_to_another_process(rows, model):
    wrong = rows.set_column(0, "a", pa.array([*["1.5"] * (N_ROWS - 1), "1.2x"]))
    with pytest.raises(DataError) as caught:
        list(model.score([wrong]))
    sentence = "the batch, row 240: column 'a' holds '1.2x', which is not a number; "
    assert str(pickle.loads(pickle.dumps(caught.value))).startswith(sentence)  # noqa: S301 - our own
