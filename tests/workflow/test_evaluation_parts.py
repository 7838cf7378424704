"""An evaluation that is put together from parts says what that of all rows says."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmem_cli.data.inference import Roles
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import resampling
from resmem_cli.store import reading
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import evaluate, evaluation_parts
from resmem_cli.workflow.evaluate import Evaluation
from resmem_cli.workflow.evaluation_parts import EvaluationPart, PartOptions
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.thresholds import Limits
from tests.workflow.conftest import FIXED, Pipeline, mixed

TEN = settings(max_examples=10, deadline=None, derandomize=True)  # each scores all rows again
OPTIONS = PartOptions(n_resamples=1_000)
TASKS = ["numbers", "two", "many", "grouped"]


class Fragment:
    """Some row groups of a Parquet file, as a worker reads them: in batches that know where their rows are from."""

    def __init__(self, path: str, row_groups: list[int], batch_rows: int = 65_536) -> None:
        self._path, self._row_groups, self._batch_rows = path, row_groups, batch_rows

    def batches(self, *_: Any, **__: Any) -> Iterator[Rows]:
        with pq.ParquetFile(self._path) as file:
            for i in self._row_groups:
                first = 1 + sum(file.metadata.row_group(before).num_rows for before in range(i))
                for batch in file.iter_batches(self._batch_rows, row_groups=[i]):
                    yield Rows(pa.Table.from_batches([batch]), ((0, Path(self._path).name, first),), is_text=False)
                    first += batch.num_rows


def rows_of(task: str, n_rows: int, seed: int) -> pa.Table:
    rows = mixed(n_rows, seed)
    y = rows["y"].to_numpy()
    if task == "grouped":
        return rows.append_column("shop", pa.array(np.random.default_rng(seed).integers(0, 25, n_rows)))
    if task == "numbers":
        return rows
    names = np.array(["low", "mid", "high", "top"])
    bounds = [1.5] if task == "two" else [0.5, 1.5, 2.5]
    labels = pa.array(names[np.digitize(y, bounds)])
    return rows.set_column(rows.column_names.index("y"), "y", labels)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    """A model of every task, and two files of other rows, of which some equal training rows and some have no target."""
    made = {}
    for task in TASKS:
        done = Pipeline(tmp_path_factory.mktemp(task))
        train = rows_of(task, 200, 0)
        group = {"group_column": "shop"} if task == "grouped" else {}
        done.fit(done.file("train.parquet", train), "linear", Roles("y", **group), replace(FIXED, n_folds=2))
        target = train.column_names.index("y")
        without = train.slice(0, 15).set_column(target, "y", pa.nulls(15, train.schema.field("y").type))
        done.file("one.parquet", pa.concat_tables([rows_of(task, 140, 1), train.slice(0, 40), without]))
        done.file("two.parquet", rows_of(task, 90, 2))
        made[task] = done
    return made


@functools.cache
def loaded(model: Path) -> tuple[StoredModel, Any]:
    """A model, and hashes of the rows that it was fitted on."""
    return reading.load(model), reading.seen_hashes(model, with_memory=True)


def part(pipeline: Pipeline, fragment: Fragment, options: PartOptions = OPTIONS) -> EvaluationPart:
    """A part as a worker returns it: made there, and sent."""
    stored, seen = loaded(pipeline.model)
    predict = functools.partial(stored.resmem.predict, threads=1, with_place=options.interval is not None)
    return pickle.loads(pickle.dumps(evaluation_parts.part_of(fragment, stored, seen, predict, options=options)))  # noqa: S301


def whole(pipeline: Pipeline, *names: str, **options: Any) -> Evaluation:
    paths = tuple(str(pipeline.folder / name) for name in names)
    return evaluate.evaluate(Input(paths), pipeline.model, threads=1, **options)


def assert_equal(found: Evaluation, expected: Evaluation) -> None:
    """Of roc_auc the value is as near as bins are, and the interval about the same; all else is equal."""
    one, other = found.to_json(), expected.to_json()
    assert one.keys() == other.keys()
    for key in one.keys() - {"metrics", "unseen", "verdict", "interval"}:
        assert one[key] == other[key]
    for mine, its in ((one["metrics"], other["metrics"]), (one["unseen"]["metrics"], other["unseen"]["metrics"])):
        assert mine.keys() == its.keys()
        for name, figures in its.items():
            assert mine[name]["base"] == pytest.approx(figures["base"], **near(name))
            assert mine[name]["resmem"] == pytest.approx(figures["resmem"], **near(name))
            low, high = figures["ci95"]
            atol = 0.1 * (high - low) if name == "roc_auc" else 0
            assert mine[name]["ci95"] == pytest.approx([low, high], rel=1e-8, abs=atol)
    assert one["verdict"] == other["verdict"]
    assert one["unseen"]["rows"] == other["unseen"]["rows"]
    if expected.intervals:
        assert one["interval"] == pytest.approx(other["interval"])


def taken(groups: range, n: int) -> Iterator[range]:
    """So many of the groups at once."""
    return (groups[start : start + n] for start in range(0, len(groups), n))


def near(name: str) -> dict[str, float]:
    return {"abs": 1e-3} if name == "roc_auc" else {"rel": 1e-10, "abs": 1e-12}


@pytest.mark.parametrize("task", TASKS)
def test_parts_of_any_cut_in_any_order_are_the_whole(pipelines: dict[str, Pipeline], task: str) -> None:
    pipeline = pipelines[task]
    options = replace(OPTIONS, seed=3, interval=0.8)
    expected = whole(pipeline, "one.parquet", "two.parquet", seed=3, interval=0.8)
    assert (expected.n_rows, expected.n_seen, expected.n_dropped) == (270, 40, 15)

    @TEN
    @given(
        sizes=st.lists(st.integers(20, 90), min_size=2, max_size=2),
        batch_rows=st.integers(10, 100),
        n_together=st.integers(1, 3),
        seed=st.integers(0, 99),
    )
    def holds(sizes: list[int], batch_rows: int, n_together: int, seed: int) -> None:
        fragments = []
        for name, size in zip(("one", "two"), sizes, strict=True):
            path = str(pipeline.folder / f"cut_{name}.parquet")
            pq.write_table(pq.read_table(pipeline.folder / f"{name}.parquet"), path, row_group_size=size)
            groups = range(pq.read_metadata(path).num_row_groups)
            fragments += [Fragment(path, list(some), batch_rows) for some in taken(groups, n_together)]
        parts = [part(pipeline, fragments[i], options) for i in np.random.default_rng(seed).permutation(len(fragments))]
        found = functools.reduce(EvaluationPart.merge, parts).evaluation(loaded(pipeline.model)[0])
        assert_equal(found, expected)

    holds()


def test_files_may_have_other_names_and_lie_elsewhere(
    pipelines: dict[str, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipelines["numbers"]
    expected = whole(pipeline, "one.parquet").to_json()
    other = pipeline.folder / "elsewhere"
    other.mkdir()
    pq.write_table(pq.read_table(pipeline.folder / "one.parquet"), other / "b.parquet", row_group_size=7)
    monkeypatch.chdir(other)
    assert evaluate.evaluate(Input(("b.parquet",)), pipeline.model, threads=1).to_json() == expected
    as_text = pipeline.file("one.csv", pq.read_table(pipeline.folder / "one.parquet"))
    assert evaluate.evaluate(Input((as_text,)), pipeline.model, threads=1).to_json() == expected


def test_a_file_without_the_column_of_groups_is_drawn_row_by_row(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["grouped"]
    path = pipeline.file("ungrouped.parquet", rows_of("grouped", 60, 5).drop_columns(["shop"]))
    paths = [str(pipeline.folder / "one.parquet"), path]
    expected = whole(pipeline, "one.parquet", "ungrouped.parquet")
    for order in (paths, paths[::-1]):
        parts = [part(pipeline, Fragment(each, [0])) for each in order]
        found = functools.reduce(EvaluationPart.merge, parts).evaluation(loaded(pipeline.model)[0])
        assert_equal(found, expected)
        assert (found.every.n_groups, found.every.unit) == (25 + 60, "group")


def test_of_very_many_groups_the_number_is_said_to_be_an_estimate(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["grouped"]
    rows = rows_of("grouped", 5_000, 6).drop_columns(["shop"]).append_column("shop", pa.array(range(5_000)))
    path = pipeline.file("shops.parquet", rows)
    found = part(pipeline, Fragment(path, [0]), PartOptions(8)).evaluation(loaded(pipeline.model)[0])
    assert found.every.n_groups == pytest.approx(5_000, rel=0.05)
    assert found.notes == (f"the number of groups, {found.every.n_groups:,}, is an estimate, right within about 3 %",)


def test_limits_are_held_against_the_whole(pipelines: dict[str, Pipeline]) -> None:
    pipeline, limits = pipelines["numbers"], Limits(min_gain=-1e6, metrics={"rmse": 1e-9})
    one, two = (part(pipeline, Fragment(str(pipeline.folder / f"{name}.parquet"), [0])) for name in ("one", "two"))
    found = one.merge(two).evaluation(loaded(pipeline.model)[0], limits)
    expected = whole(pipeline, "one.parquet", "two.parquet", limits=limits)
    assert [each.is_reached for each in found.thresholds] == [True, False]
    assert [each.value for each in found.thresholds] == pytest.approx([each.value for each in expected.thresholds])
    with pytest.raises(UsageError, match="--max-log-loss does not fit the model"):
        one.evaluation(loaded(pipeline.model)[0], Limits(metrics={"log_loss": 1.0}))


def test_a_level_that_no_interval_can_have_is_refused_before_rows_are_read(pipelines: dict[str, Pipeline]) -> None:
    with pytest.raises(UsageError, match="held-out rows"):
        part(pipelines["numbers"], Fragment("no.parquet", [0]), replace(OPTIONS, interval=0.9999))


def test_a_part_may_have_no_row_that_counts_and_all_parts_may_not(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["many"]
    stored = loaded(pipeline.model)[0]
    rows = pq.read_table(pipeline.folder / "two.parquet")
    at = rows.column_names.index("y")
    foreign = pipeline.file("foreign.parquet", rows.set_column(at, "y", pa.array(["odd"] * len(rows))))
    without = pipeline.file("without.parquet", rows.set_column(at, "y", pa.nulls(len(rows), pa.string())))
    parts = [part(pipeline, Fragment(path, [0])) for path in (without, foreign)]
    full = part(pipeline, Fragment(str(pipeline.folder / "two.parquet"), [0]))
    found = parts[0].merge(full).merge(parts[1]).evaluation(stored)
    assert (found.n_rows, found.n_dropped, found.n_unknown_class) == (90, 90, 90)
    said = r"foreign.parquet, row 1: the target 'y' holds the class 'odd', which is not in the training data; "
    with pytest.raises(DataError, match=said):
        parts[0].merge(parts[1]).evaluation(stored)
    with pytest.raises(DataError, match="none of the 90 rows has a target 'y'; give labelled rows"):
        parts[0].evaluation(stored)
    with pytest.raises(DataError, match="there are no rows; give labelled rows"):
        part(pipeline, Fragment(without, [])).evaluation(stored)


def test_without_resamples_there_are_values_and_no_intervals(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["two"]
    fragment = Fragment(str(pipeline.folder / "two.parquet"), [0])
    found = part(pipeline, fragment, PartOptions(0)).evaluation(loaded(pipeline.model)[0])
    assert all(np.isnan(each.ci95).all() and np.isfinite(each.gain) for each in found.metrics.values())


def test_parts_of_different_evaluations_are_not_merged(pipelines: dict[str, Pipeline]) -> None:
    fragment = Fragment(str(pipelines["numbers"].folder / "two.parquet"), [0])
    one, other = (part(pipelines["numbers"], fragment, replace(OPTIONS, seed=seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match="parts of different evaluations"):
        one.merge(other)


def test_rows_that_were_all_seen_leave_none_to_judge_by(pipelines: dict[str, Pipeline]) -> None:
    for task in ("numbers", "grouped"):
        pipeline = pipelines[task]
        found = part(pipeline, Fragment(str(pipeline.folder / "train.parquet"), [0])).evaluation(
            loaded(pipeline.model)[0]
        )
        expected = whole(pipeline, "train.parquet")
        assert_equal(found, expected)
        assert found.unseen is not None
        assert (found.unseen.n_rows, found.unseen.metrics) == (0, {})
        assert found.unseen.n_groups == (0 if task == "grouped" else None)


def test_what_bins_make_of_a_metric_is_said(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["two"]
    found = part(pipeline, Fragment(str(pipeline.folder / "two.parquet"), [0])).evaluation(loaded(pipeline.model)[0])
    (note,) = found.notes
    assert note.startswith("roc_auc is that of probabilities in bins, at most ")
    assert note.endswith(" off the exact one")
    exact = whole(pipeline, "two.parquet").metrics["roc_auc"]
    error = float(note.split("at most ")[1].split()[0])
    assert abs(found.metrics["roc_auc"].resmem - exact.resmem) <= error < 0.01


@pytest.mark.parametrize("task", ["numbers", "two", "many"])
def test_a_part_is_small_whatever_the_number_of_rows(pipelines: dict[str, Pipeline], task: str) -> None:
    """Of millions of rows there are fewer resamples, and a part is smaller still."""
    pipeline = pipelines[task]
    name = pipeline.file("many.parquet", rows_of(task, 3_000, 9))
    few, many = (
        len(pickle.dumps(part(pipeline, Fragment(path, [0]), PartOptions(n_resamples))))
        for path, n_resamples in ((str(pipeline.folder / "one.parquet"), 200), (name, 1_000))
    )
    assert few < 6_000_000
    assert many < 10_000_000


def test_the_number_of_resamples_is_that_of_evaluate(pipelines: dict[str, Pipeline]) -> None:
    """What `resampling.n_resamples` says of all rows that are read, also of those that do not count."""
    pipeline = pipelines["numbers"]
    count = resampling.n_resamples(140 + 40 + 15)
    found = part(pipeline, Fragment(str(pipeline.folder / "one.parquet"), [0]), PartOptions(count))
    assert_equal(found.evaluation(loaded(pipeline.model)[0]), whole(pipeline, "one.parquet"))
    assert json.dumps(found.evaluation(loaded(pipeline.model)[0]).to_json())
