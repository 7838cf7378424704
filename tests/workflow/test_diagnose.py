"""What a page shows is measured in one pass, and does not depend on how the rows come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from resmem_cli import ResMemClassifier, ResMemRegressor
from resmem_cli.data import frames
from resmem_cli.data.pruning import Where
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.model.explanation import usual_distances
from resmem_cli.store.rows import RowNames
from resmem_cli.workflow import diagnose
from resmem_cli.workflow.diagnose import Diagnosis
from resmem_cli.workflow.model import Model
from tests.report.samples import FEATURES, GIVEN, NEW, QUICK, TRAIN


@pytest.fixture(scope="module")
def numbers() -> Model:
    return ResMemRegressor(**QUICK, **GIVEN).fit(TRAIN[FEATURES], TRAIN["y"]).model_


@pytest.fixture(scope="module")
def classes() -> Model:
    return ResMemClassifier(**QUICK, **GIVEN).fit(TRAIN[FEATURES], (TRAIN["y"] > 0.5).astype(str)).model_


class InParts:
    """Rows in batches of a size, which can be read once."""

    def __init__(self, rows: Rows, size: int) -> None:
        self._rows, self._size, self.n_read = rows, size, 0

    def batches(
        self,
        rows: int = 0,
        columns: frozenset[str] | None = None,
        schema: Schema | None = None,
        *,
        may_be_empty: bool = False,
        where: Where = (),
    ) -> Iterator[Rows]:
        self.n_read += 1
        for start in range(0, len(self._rows), self._size):
            yield self._rows.take(np.arange(start, min(start + self._size, len(self._rows))))


def diagnosed(model: Model, rows: pd.DataFrame, size: int, seen: np.ndarray | None = None) -> Diagnosis:
    stored, known, _ = model._complete()
    names = RowNames(tuple(m.memory.contents.cells for m in stored.resmem.members if m.memory.contents), known.ids)
    source = InParts(frames.to_rows(rows), size)
    found = diagnose.of_rows(
        source,
        stored,
        names,
        np.empty(0, np.uint64) if seen is None else seen,
        lambda X: stored.resmem.predict(X, with_place=True),
        usual=usual_distances(stored.resmem.members[0].memory),
        seed=0,
        by=["auto"],
        threads=1,
    )
    assert source.n_read == 1
    return found


@pytest.mark.parametrize("size", [7, 100])
@pytest.mark.parametrize("name", ["numbers", "classes"])
def test_batches_of_any_size_say_the_same(name: str, size: int, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    rows = NEW if name == "numbers" else NEW.assign(y=(NEW["y"] > 0.5).astype(str))
    one, other = diagnosed(model, rows, len(rows)), diagnosed(model, rows, size)
    assert other.fingerprint == one.fingerprint
    assert other.drift == one.drift
    assert [(each.name, each.of.n_rows) for each in other.by_distance] == [
        (each.name, each.of.n_rows) for each in one.by_distance
    ]
    assert [(each.level, each.coverage) for each in other.coverages] == [
        (each.level, each.coverage) for each in one.coverages
    ]
    assert [each.explained.row for each in other.examples] == [each.explained.row for each in one.examples]


def test_the_examples_are_the_rows_of_the_largest_changes(numbers: Model) -> None:
    found = diagnosed(numbers, NEW, 50)
    base, after = (numbers.predict(NEW[FEATURES], base_only=only)[:, 0] for only in (True, False))
    gains = (base - NEW["y"]) ** 2 - (after - NEW["y"]) ** 2
    order = np.argsort(-gains, kind="stable") + 1
    assert [each.explained.row for each in found.examples] == [*order[:3], *order[::-1][:3]]
    assert [each.is_improved for each in found.examples] == [True] * 3 + [False] * 3
    for each in found.examples:
        row = NEW.iloc[each.explained.row - 1]
        assert each.truth == row["y"]
        assert each.explained.prediction == pytest.approx(each.resmem)
        assert dict(each.features)["kind"] == row["kind"]


def test_a_row_that_is_there_many_times_is_one_example(numbers: Model) -> None:
    found = diagnosed(numbers, pd.concat([NEW, NEW, NEW], ignore_index=True), 100)
    rows = [each.explained.row for each in found.examples]
    assert len(set(rows)) == 6
    assert max(rows) <= len(NEW)


def test_the_slices_by_distance_are_all_rows(numbers: Model) -> None:
    found = diagnosed(numbers, NEW, 50)
    assert sum(each.of.n_rows for each in found.by_distance) == found.n_rows == len(NEW)
    last = [each.of.n_rows for each in found.by_distance if each.name == "percentile 99 to 100"]
    assert found.far == sum(last) / len(NEW)
    known = diagnosed(numbers, TRAIN, 50)
    assert [each.name for each in known.by_distance] == ["percentile 0 to 10"]  # each row is its own neighbour
    assert known.far == 0


def test_rows_that_were_seen_do_not_count(numbers: Model) -> None:
    both = pd.concat([TRAIN, NEW], ignore_index=True)
    found, alone = diagnosed(numbers, both, 90, numbers._complete()[1].hashes), diagnosed(numbers, NEW, 90)
    assert found.n_rows == len(NEW)
    assert [replace(each, explained=None) for each in found.examples] == [
        replace(each, explained=None) for each in alone.examples
    ]
    assert [each.coverage for each in found.coverages] == pytest.approx([each.coverage for each in alone.coverages])
    assert found.resmem.error == pytest.approx(alone.resmem.error)


class TestDrift:
    def test_none_where_nothing_moved(self, numbers: Model) -> None:
        drift = diagnosed(numbers, NEW, 50).drift
        shifts = {each.name: each.shift for each in drift.columns}
        assert shifts["kind"] is None
        assert max(shifts["a"], shifts["b"]) < drift.by_chance

    def test_the_shift_is_that_of_kolmogorov_and_smirnov(self, numbers: Model) -> None:
        from scipy.stats import ks_2samp

        moved = NEW.assign(a=NEW["a"] + 0.7)
        (a,) = [each for each in diagnosed(numbers, moved, 50).drift.columns if each.name == "a"]
        assert a.shift == pytest.approx(ks_2samp(moved["a"], TRAIN["a"]).statistic, abs=0.03)
        assert a.shift > diagnosed(numbers, moved, 50).drift.by_chance

    def test_what_is_missing_unknown_or_outside(self, numbers: Model) -> None:
        odd = NEW.assign(a=np.where(np.arange(len(NEW)) < 60, np.nan, NEW["a"]))
        odd["b"] = np.where(np.arange(len(NEW)) < 24, 99.0, odd["b"])
        odd["kind"] = np.where(np.arange(len(NEW)) < 12, "blue", odd["kind"])
        a, b, kind = diagnosed(numbers, odd, 50).drift.columns
        inside = NEW["b"][24:].between(TRAIN["b"].min(), TRAIN["b"].max())
        assert a.missing == 0.25
        assert kind.unknown == 0.05
        assert b.outside == pytest.approx((24 + (~inside).sum()) / len(NEW))
