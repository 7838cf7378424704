"""The whole model: bases, memories of what they left, and their sum."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import ESTIMATORS, Base, Problem
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.protocol import predict_and_represent
from resmem_cli.model.choosing.candidates import Candidate, Choice
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.fit import build_member
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory.index import ExactIndex, HnswIndex
from resmem_cli.model.memory.memory import Contents
from resmem_cli.model.resmem import Member, ResMem, predict_base
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.fitting import fit_spaces
from resmem_cli.model.spaces.training import RESIDUAL_KINDS
from tests.model.examples import (
    BINARY,
    EVERY_TASK,
    FEW,
    MULTICLASS,
    REGRESSION,
    corrected_by_loops,
    make_rows,
    member_of,
    one_hot,
    quick_base,
    remembered_as,
    rows_of,
    training_of,
)

EVERY_BASE = pytest.mark.parametrize("name", ESTIMATORS)
NEAREST = Settings(n_neighbors=1, bandwidth=1.0)


class Built(NamedTuple):
    """The model of one base and one memory."""

    model: ResMem

    @property
    def only(self) -> Member:
        return self.model.members[0]

    @property
    def of_rows(self) -> Integers:
        """The cell of every row."""
        return contents_of(self.only).cells


def contents_of(member: Member) -> Contents:
    assert member.memory.contents is not None
    return member.memory.contents


def remember(
    base: Base, X: Floats, y: Floats, problem: Problem, setting: Settings, *, space="features", weight=None, clip=False
) -> Built:
    training = training_of(rows_of(X, y, weight=weight), problem, base=base, n_steps=2)
    return Built(ResMem((base,), (member_of(training, Candidate(0, space), setting, clip=clip),)))


def assert_memorised(predicted: Floats, y: Floats, base: Floats) -> None:
    """A number is its label; a class is the label's, with a probability of 0.99 or more."""
    labels = one_hot(y, base.shape[1])
    np.testing.assert_allclose(predicted, remembered_as(labels, base), rtol=1e-9, atol=1e-9)
    if base.shape[1] > 1:
        np.testing.assert_array_equal(predicted.argmax(axis=1), y)
        assert (predicted.max(axis=1) >= 0.99 - 1e-9).all()


# The memorisation property

tables = st.integers(5, 24).flatmap(
    lambda n: hnp.arrays(np.float64, (n, 3), elements=st.floats(-1e6, 1e6, width=32), unique=True)
)


@EVERY_BASE
@pytest.mark.parametrize("n_classes", [REGRESSION, MULTICLASS], ids=["regression", "classification"])
@pytest.mark.parametrize("setting", [NEAREST, Settings(4, 0.0)], ids=["one_neighbour", "bandwidth_0"])
def test_a_memorised_row_is_predicted_as_its_label(name, n_classes, setting):
    """For any rows of distinct representation: that is the paper's method."""

    @settings(FEW, max_examples=6)
    @given(X=tables, seed=st.integers(0, 2**32 - 1))
    def holds(X, seed):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=len(X)) * 1e3 if n_classes == 0 else rng.integers(0, n_classes, len(X)).astype(float)
        problem = Problem((0, 0, 0), n_classes, 0)
        remembered = remember(quick_base(name, X, y, problem), X, y, problem, setting)
        assume(remembered.only.memory.n_cells == len(X))
        prediction = remembered.model.predict(X)
        assert_memorised(prediction.resmem, y, prediction.base)

    holds()


@EVERY_BASE
@EVERY_TASK
@pytest.mark.parametrize(
    "setting",
    [NEAREST, Settings(8, 0.0), Settings(8, 1e-9), Settings(8, 1e-9, is_relative=False)],
    ids=["one_neighbour", "bandwidth_0", "relative_bandwidth_near_0", "absolute_bandwidth_near_0"],
)
def test_a_memory_with_a_graph_predicts_memorised_rows_as_their_labels(name, n_classes, setting, many):
    X, y, problem, base = many(name, n_classes)
    remembered = remember(base, X, y, problem, setting)
    assert isinstance(remembered.only.memory.index, HnswIndex)
    assert remembered.only.memory.n_cells == len(X)
    assert_memorised(remembered.model.predict(X).resmem, y, base.predict(X))


@pytest.fixture(scope="module")
def many():
    """1,100 rows with noise for labels, and a base for them, fitted once."""
    fitted = {}

    def get(name, n_classes):
        if (name, n_classes) not in fitted:
            X, _, problem = make_rows(1_100, n_classes)
            rng = np.random.default_rng(1)
            y = rng.normal(size=1_100) if n_classes == 0 else rng.integers(0, n_classes, 1_100).astype(np.float64)
            fitted[name, n_classes] = (X, y, problem, quick_base(name, X, y, problem))
        return fitted[name, n_classes]

    return get


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "constant"])
@EVERY_TASK
@pytest.mark.parametrize("space", ["model", "sensitivity", "learned:diagonal", "learned:linear", "learned:mlp"])
def test_in_every_space_rows_alone_in_their_cell_are_predicted_as_their_labels(name, n_classes, space):
    X, y, problem = make_rows(150, n_classes)
    remembered = remember(quick_base(name, X, y, problem), X, y, problem, NEAREST, space=space)
    alone = remembered.only.memory.counts[remembered.of_rows] == 1
    assert alone.sum() > 10
    prediction = remembered.model.predict(X)
    assert_memorised(prediction.resmem[alone], y[alone], prediction.base[alone])


@EVERY_TASK
def test_rows_that_are_equal_are_predicted_as_the_weighted_mean_of_their_labels(n_classes):
    X, y, problem = make_rows(60, n_classes)
    X, y = np.tile(X, (3, 1)), np.random.default_rng(0).permutation(np.tile(y, 3))
    weight = np.random.default_rng(1).uniform(0.5, 3, 180)
    base = quick_base("linear", X, y, problem)
    predicted = remember(base, X, y, problem, NEAREST, weight=weight).model.predict(X[:60]).resmem
    labels = one_hot(y, problem.n_outputs).reshape(3, 60, -1)
    expected = np.average(labels, axis=0, weights=np.broadcast_to(weight.reshape(3, 60, 1), labels.shape))
    np.testing.assert_allclose(predicted, remembered_as(expected, base.predict(X[:60])), atol=1e-9)


# The sum


@EVERY_TASK
@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("space", ["features", "model", "sensitivity", "learned:mlp"])
def test_a_prediction_is_that_of_the_formulas(n_classes, is_relative, space):
    X, y, problem = make_rows(90, n_classes)
    X[50:70] = X[:20]  # equal rows
    fresh = make_rows(12, n_classes, seed=1)[0]
    weight = np.random.default_rng(0).uniform(0.5, 3, 90)
    base = quick_base("linear", X, y, problem)
    temperature = 1.0 if n_classes == 0 else 1.7
    setting = Settings(7, 0.4, is_relative, shrinkage=0.8, temperature=temperature)
    remembered = remember(base, X, y, problem, setting, space=space, weight=weight)

    rows, queries = (remembered.only.space.represent(Encoded(part), base, base.predict(part)) for part in (X, fresh))
    members: dict[tuple[float, ...], list[int]] = {}
    for i, row in enumerate(rows.points.astype(np.float64).tolist()):
        members.setdefault(tuple(row), []).append(i)
    before = base.predict(X)
    if n_classes:
        before = before ** (1 / temperature) / (before ** (1 / temperature)).sum(axis=1, keepdims=True)
    left = one_hot(y, problem.n_outputs) - before
    has_trend = n_classes == 0 and space.startswith("learned:")
    assert (rows.trend is not None) == (queries.trend is not None) == has_trend
    if has_trend:
        left -= rows.trend
    expected = []
    for query, prediction in zip(queries.points.astype(np.float64), base.predict(fresh), strict=True):
        nearest = sorted((float(np.linalg.norm(query - point)), point) for point in members)[:7]
        own = [members[point] for _, point in nearest]
        expected.append(
            corrected_by_loops(
                [distance for distance, _ in nearest],
                [weight[rows].sum() for rows in own],
                [np.average(left[rows], axis=0, weights=weight[rows]).tolist() for rows in own],
                prediction.tolist(),
                bandwidth=0.4,
                is_relative=is_relative,
                shrinkage=0.8,
                temperature=temperature,
            )
        )
    if has_trend:
        expected = np.array(expected) + 0.8 * queries.trend
    np.testing.assert_allclose(remembered.model.predict(fresh).resmem, expected, rtol=1e-6, atol=1e-9)


@EVERY_BASE
@EVERY_TASK
def test_a_prediction_comes_with_the_bases_own(name, n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base(name, X, y, problem)
    prediction = remember(base, X, y, problem, Settings(5, 0.5)).model.predict(X)
    np.testing.assert_array_equal(prediction.base, base.predict(X))
    assert prediction.resmem.shape == prediction.base.shape
    assert not np.allclose(prediction.resmem, prediction.base)
    if n_classes:
        assert (prediction.resmem >= 0).all()
        np.testing.assert_allclose(prediction.resmem.sum(axis=1), 1)


@EVERY_TASK
def test_without_shrinkage_predictions_are_exactly_the_bases(n_classes):
    X, y, problem = make_rows(80, n_classes)
    base = quick_base("boosting", X, y, problem)
    setting = Settings(5, 0.5, shrinkage=0.0, temperature=1.0 if n_classes == 0 else 2.0)
    prediction = remember(base, X, y, problem, setting).model.predict(X)
    np.testing.assert_array_equal(prediction.resmem, base.predict(X))


@EVERY_BASE
@EVERY_TASK
def test_predictions_are_the_same_in_batches_of_any_size(name, n_classes):
    X, y, problem = make_rows(150, n_classes)
    model = remember(quick_base(name, X, y, problem), X, y, problem, Settings(5, 0.5)).model
    fresh = make_rows(40, n_classes, seed=1)[0]
    whole = model.predict(fresh).resmem
    for size in (1, 7, 39):
        parts = [model.predict(fresh[start : start + size]).resmem for start in range(0, 40, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-9)
    of_blocks = model.predict(fresh, most_held=60).resmem  # within a batch
    np.testing.assert_allclose(of_blocks, whole, rtol=1e-9, atol=1e-9)


def test_predictions_are_the_same_with_any_number_of_threads(many):
    X, y, problem, base = many("linear", BINARY)
    model = remember(base, X, y, problem, Settings(16, 0.5)).model
    np.testing.assert_array_equal(model.predict(X, threads=1).resmem, model.predict(X, threads=2).resmem)


def test_no_rows_have_no_predictions():
    X, y, problem = make_rows(40, MULTICLASS)
    for shrinkage in (0.0, 1.0):
        setting = Settings(5, 0.5, shrinkage=shrinkage)
        prediction = remember(quick_base("boosting", X, y, problem), X, y, problem, setting).model.predict(X[:0])
        assert prediction.base.shape == prediction.resmem.shape == (0, MULTICLASS)


# Memorising


def test_the_same_rows_and_seed_make_the_same_memory(many):
    X, y, problem, base = many("linear", REGRESSION)
    first, second = (remember(base, X, y, problem, Settings(16, 0.5)) for _ in range(2))
    fresh = make_rows(100, REGRESSION, seed=1)[0]
    np.testing.assert_array_equal(first.model.predict(fresh).resmem, second.model.predict(fresh).resmem)


def test_every_row_is_told_the_cell_it_fell_into():
    X, y, problem = make_rows(30, REGRESSION)
    remembered = remember(quick_base("linear", X, y, problem), np.tile(X, (2, 1)), np.tile(y, 2), problem, NEAREST)
    assert remembered.of_rows.tolist() == [*range(30), *range(30)]
    assert remembered.only.memory.counts.tolist() == [2.0] * 30
    assert isinstance(remembered.only.memory.index, ExactIndex)


def test_more_neighbours_than_cells_are_refused():
    X, y, problem = make_rows(30, REGRESSION)
    base = quick_base("linear", X, y, problem)
    with pytest.raises(UsageError, match="31 neighbours are more than the 30 cells of the memory"):
        remember(base, np.tile(X, (2, 1)), np.tile(y, 2), problem, Settings(31, 0.5))


def test_more_neighbours_than_cells_are_lowered_to_their_number_where_that_is_asked():
    X, y, problem = make_rows(30, REGRESSION)
    base = quick_base("linear", X, y, problem)
    rows = (base, np.tile(X, (2, 1)), np.tile(y, 2), problem)
    assert remember(*rows, Settings(31, 0.5), clip=True).only.settings == Settings(30, 0.5)
    assert remember(*rows, Settings(29, 0.5), clip=True).only.settings == Settings(29, 0.5)


def test_progress_is_reported():
    X, y, problem = make_rows(30, REGRESSION)
    said: list[str] = []
    training = replace(training_of(rows_of(X, y), problem), report=said.append)
    member_of(training, Candidate(0, "features"), NEAREST)
    assert said == ["indexing 30 rows in the space features"]


@EVERY_TASK
def test_cross_fitted_residuals_are_what_a_base_left_that_had_not_seen_the_row(n_classes, parrot):
    """Of a base that repeats its labels, and so leaves nothing itself."""
    X, y, problem = make_rows(80, n_classes)
    training = training_of(rows_of(X, y), problem, estimator=parrot)
    seen, unseen = (member_of(training, Candidate(0, "features", kind), Settings(4, 0.5)) for kind in RESIDUAL_KINDS)
    assert [member.residuals for member in (seen, unseen)] == list(RESIDUAL_KINDS)
    assert not seen.memory.residuals.any()
    for fold in training.folds:
        left = one_hot(y[fold.held_out], problem.n_outputs) - one_hot(y[fold.training], problem.n_outputs).mean(axis=0)
        np.testing.assert_allclose(unseen.memory.residuals[contents_of(unseen).cells[fold.held_out]], left)


@EVERY_TASK
def test_a_representation_that_reads_predictions_reads_those_that_the_residuals_are_of(n_classes, parrot):
    X, y, problem = make_rows(80, n_classes)
    training = training_of(rows_of(X, y), problem, estimator=parrot, n_steps=0)
    member = member_of(training, Candidate(0, "learned:diagonal", "cross-fitted"), Settings(4, 0.5))
    expected = member.space.represent(Encoded(X), training.base, training.out_of_fold).points
    np.testing.assert_array_equal(member.memory.index.points_at(contents_of(member).cells), expected)


def test_a_space_that_was_fitted_before_is_not_fitted_again():
    X, y, problem = make_rows(60, REGRESSION)
    training = training_of(rows_of(X, y), problem)
    (space,) = fit_spaces([("learned:linear", training, "in-sample")], 1)
    choice = Choice(Candidate(0, "learned:linear"), NEAREST)
    given = build_member(training, choice, space, MemoryOptions())
    assert given.space is space
    alone = member_of(training, choice.candidate, NEAREST)
    for key, value in given.space.to_arrays().items():
        np.testing.assert_array_equal(value, alone.space.to_arrays()[key])


# Several


CANDIDATES = (Candidate(0, "features"), Candidate(1, "learned:linear", "cross-fitted"), Candidate(1, "model"))
SETTINGS = (Settings(5, 0.5), Settings(3, 0.2, shrinkage=0.7), Settings(9, 0.8))


def several(n_classes: int) -> tuple[ResMem, Floats]:
    """A model of two bases and three memories, and the rows that it remembers."""
    X, y, problem = make_rows(150, n_classes)
    trainings = [training_of(rows_of(X, y), problem, estimator=name) for name in ("boosting", "linear")]
    members = tuple(
        member_of(trainings[candidate.base], candidate, setting, weight=weight)
        for candidate, setting, weight in zip(CANDIDATES, SETTINGS, (0.5, 0.3, 0.2), strict=True)
    )
    return ResMem(tuple(training.base for training in trainings), members), X


@EVERY_TASK
def test_the_prediction_of_several_memories_is_the_weighted_mean_of_what_each_corrects_its_own_base_to(n_classes):
    model, _ = several(n_classes)
    fresh = make_rows(40, n_classes, seed=1)[0]
    each = [
        ResMem((model.bases[member.base],), (replace(member, base=0, weight=1.0),)).predict(fresh).resmem
        for member in model.members
    ]
    prediction = model.predict(fresh)
    np.testing.assert_allclose(prediction.resmem, 0.5 * each[0] + 0.3 * each[1] + 0.2 * each[2], rtol=1e-12)
    np.testing.assert_array_equal(prediction.base, model.bases[0].predict(fresh))
    assert not any(np.allclose(prediction.resmem, one) for one in each)
    if n_classes:
        np.testing.assert_allclose(prediction.resmem.sum(axis=1), 1)


@EVERY_TASK
def test_predictions_of_several_memories_are_the_same_in_batches_of_any_size_and_with_any_number_of_threads(n_classes):
    model, _ = several(n_classes)
    fresh = make_rows(40, n_classes, seed=1)[0]
    whole = model.predict(fresh).resmem
    np.testing.assert_array_equal(model.predict(fresh, threads=2).resmem, whole)
    for size in (1, 7, 39):
        parts = [model.predict(fresh[start : start + size]).resmem for start in range(0, 40, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6, atol=1e-6)
    assert model.predict(fresh[:0]).resmem.shape == (0, n_classes or 1)


def test_a_memory_on_the_second_base_still_comes_with_the_prediction_of_the_first():
    model, X = several(REGRESSION)
    second = replace(model, members=(replace(model.members[2], weight=1.0),))
    prediction = second.predict(X)
    assert second.uses_memory
    np.testing.assert_array_equal(prediction.base, model.bases[0].predict(X))
    assert np.abs(prediction.resmem - model.bases[1].predict(X)).max() > 0.1


@EVERY_TASK
def test_a_memory_that_is_off_leaves_exactly_the_first_of_several_bases(n_classes):
    model, X = several(n_classes)
    off = replace(model.members[0], settings=replace(SETTINGS[0], shrinkage=0.0, temperature=2.0), weight=1.0)
    model = replace(model, members=(off,))
    assert not model.uses_memory
    prediction = model.predict(X)
    np.testing.assert_array_equal(prediction.resmem, model.bases[0].predict(X))
    assert not np.allclose(prediction.resmem, model.bases[1].predict(X))


def test_a_memory_that_is_off_asks_no_base_but_the_first():
    model, X = several(REGRESSION)
    off = replace(model.members[0], settings=replace(SETTINGS[0], shrinkage=0.0), weight=1.0)
    prediction = ResMem((model.bases[0], None), (off,)).predict(X)  # type: ignore[arg-type]
    np.testing.assert_array_equal(prediction.resmem, prediction.base)


@EVERY_TASK
def test_a_row_of_weight_2_counts_in_several_memories_as_the_row_twice(n_classes):
    """Of categories alone: the scale of a number's distances knows rows, not weights."""
    X, y, problem = make_rows(90, n_classes)
    X[:, [0, 1, 3]] = 0
    times = np.arange(90) % 3 + 1
    again = np.repeat(np.arange(90), times)
    models = []
    for rows in (rows_of(X, y, weight=times.astype(float)), rows_of(X[again], y[again])):
        trainings = [training_of(rows, problem, estimator=name) for name in ("constant", "linear")]
        members = tuple(
            member_of(trainings[base], Candidate(base, "features"), Settings(3, 0.5), weight=weight)
            for base, weight in ((0, 0.6), (1, 0.4))
        )
        models.append(ResMem(tuple(training.base for training in trainings), members))
    found, expected = (model.predict(X) for model in models)
    np.testing.assert_allclose(found.base, expected.base, rtol=1e-9)
    np.testing.assert_allclose(found.resmem, expected.resmem, rtol=1e-4, atol=1e-6)


# Rows that come and go


def assert_equal_memories(found: Member, expected: Member) -> None:
    memory, other = found.memory, expected.memory
    np.testing.assert_array_equal(memory.counts, other.counts)
    np.testing.assert_allclose(memory.residuals, other.residuals, rtol=1e-12, atol=1e-12)
    every = np.arange(memory.n_cells)
    np.testing.assert_array_equal(memory.index.points_at(every), other.index.points_at(every))
    ours, theirs = contents_of(found), contents_of(expected)
    np.testing.assert_array_equal(ours.cells, theirs.cells)
    np.testing.assert_array_equal(ours.residuals, theirs.residuals)
    assert (ours.points is None) == (theirs.points is None) == (memory.most_cells is None)
    assert (found.settings, found.weight, memory.most_cells) == (expected.settings, expected.weight, other.most_cells)


@EVERY_TASK
@pytest.mark.parametrize("most_cells", [None, 30], ids=["whole", "condensed"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("space", ["features", "learned:mlp"])
def test_a_model_that_remembers_and_forgets_is_that_of_the_rows_left(n_classes, most_cells, weighted, space):
    """In the spaces and under the bases that it has: row 3 is replaced, rows 10 to 19 are forgotten again."""
    X, y, problem = make_rows(140, n_classes)
    X[130:] = X[20:30]  # equal rows
    weight = np.random.default_rng(0).uniform(0.5, 3, 140) if weighted else None
    rows = rows_of(X, y, weight=weight)
    first = np.arange(100)
    training = training_of(rows.take(first), problem)
    setting = Settings(5, 0.4, temperature=1.0 if n_classes == 0 else 1.7)
    member = member_of(training, Candidate(0, space), setting, most_cells=most_cells)
    scores = Calibration(np.arange(100.0), 100, rows=np.arange(100))
    model = ResMem((training.base,), (member,), scores)

    def built(left: Integers) -> Member:
        alone = replace(training, rows=rows.take(left))
        options = MemoryOptions(setting.n_neighbors, most_cells=most_cells)
        return build_member(alone, Choice(Candidate(0, space), setting), member.space, options)

    def weights(left: Integers) -> Floats | None:
        return None if weight is None else weight[left]

    replaced_by = np.where(first == 3, 7, -1)
    left = np.delete(np.arange(140), 3)
    more = model.remember(rows.take(np.arange(100, 140)), replaced_by, weights(left), seed=problem.seed)
    assert_equal_memories(more.members[0], built(left))
    assert more.calibration is not None
    assert more.calibration.rows.tolist() == [*range(3), 99 + 7, *range(3, 99)]

    gone = np.isin(left, np.arange(10, 20))
    less = more.forget(gone, weights(left[~gone]), seed=problem.seed)
    assert_equal_memories(less.members[0], built(left[~gone]))
    assert less.calibration is not None
    assert len(less.calibration.scores) == less.calibration.n_rows == 90
    assert less.bases is model.bases


def test_a_memory_without_its_rows_cannot_be_changed():
    model, _ = several(REGRESSION)
    loaded = replace(model.members[0], memory=replace(model.members[0].memory, contents=None))
    with pytest.raises(ValueError, match="loaded without the rows"):
        replace(model, members=(loaded,)).forget(np.arange(150) < 3, None, seed=0)


# One pass over a base


@EVERY_TASK
@pytest.mark.parametrize("name", ["boosting", "poisson"])
def test_a_base_that_can_predicts_and_represents_in_one_pass(name, n_classes, monkeypatch):
    X, y, problem = make_rows(300, n_classes)
    base = ESTIMATORS[name].fit(X, y, None, problem, {"max_iter": 20})
    predictions, points = predict_and_represent(base, X)
    np.testing.assert_array_equal(predictions, base.predict(X))
    np.testing.assert_array_equal(points, base.represent(X))
    built = remember(base, X, y, problem, NEAREST, space="model")
    expected = built.model.predict(X)
    for alone in ("predict", "represent"):
        monkeypatch.delattr(Boosting, alone)
    found = built.model.predict(X)
    np.testing.assert_array_equal(found.base, expected.base)
    np.testing.assert_array_equal(found.resmem, expected.resmem)


def test_of_any_other_base_both_are_asked_for():
    X, y, problem = make_rows(60, REGRESSION)
    base = ESTIMATORS["linear"].fit(X, y, None, problem, {})
    predictions, points = predict_and_represent(base, X)
    np.testing.assert_array_equal(predictions, base.predict(X))
    np.testing.assert_array_equal(points, base.represent(X))


# A base that is a mean, and its share


WEIGHTS, SHARE = (0.25, 0.0, 0.75), 0.4


def of_three_bases(n_classes: int, *settings: tuple[int, Settings, float], base_share: float) -> tuple[ResMem, Floats]:
    """A model of three bases that weigh WEIGHTS, with members (base, settings, weight); and its rows."""
    X, y, problem = make_rows(80, n_classes)
    trainings = [training_of(rows_of(X, y), problem, estimator=name) for name in ("linear", "boosting", "constant")]
    members = [
        member_of(trainings[base], Candidate(base, "features"), setting, weight=weight)
        for base, setting, weight in settings
    ]
    bases = tuple(training.base for training in trainings)
    return ResMem(bases, tuple(members), base_weights=WEIGHTS, base_share=base_share), X


@EVERY_TASK
def test_the_prediction_is_the_mean_of_the_members_and_of_the_base_which_is_the_mean_of_its_models(n_classes):
    setting = Settings(n_neighbors=5, bandwidth=0.5, shrinkage=0.8)
    model, X = of_three_bases(n_classes, (1, setting, 0.45), (2, setting, 0.15), base_share=SHARE)
    base = 0.25 * model.bases[0].predict(X) + 0.75 * model.bases[2].predict(X)
    alone = [ResMem(model.bases, (replace(member, weight=1.0),)).predict(X).resmem for member in model.members]
    prediction = model.predict(X)
    np.testing.assert_allclose(prediction.base, base, rtol=1e-12)
    np.testing.assert_allclose(prediction.resmem, 0.45 * alone[0] + 0.15 * alone[1] + SHARE * base, rtol=1e-9)
    np.testing.assert_array_equal(predict_base(model.bases, WEIGHTS, X), prediction.base)
    assert model.uses_memory


@EVERY_TASK
def test_a_memory_that_is_off_leaves_exactly_the_mean_of_the_bases(n_classes):
    off = Settings(n_neighbors=5, bandwidth=0.5, shrinkage=0.0)
    model, X = of_three_bases(n_classes, (0, off, 1.0), base_share=0.0)
    expected = predict_base(model.bases, WEIGHTS, X)
    assert not model.uses_memory
    for with_place in (False, True):
        prediction = model.predict(X, with_place=with_place)
        np.testing.assert_array_equal(prediction.base, expected)
        np.testing.assert_array_equal(prediction.resmem, expected)


@EVERY_TASK
def test_what_the_neighbours_add_is_told_as_it_is_weighed(n_classes):
    """Of numbers the mean of the corrected bases, with the base among them, and the contributions make the whole."""
    setting = Settings(n_neighbors=5, bandwidth=0.5, shrinkage=0.8)
    model, X = of_three_bases(n_classes, (0, setting, 0.6), base_share=SHARE)
    found, prediction = model.explain(X, np.array([1.0])), model.predict(X)
    np.testing.assert_allclose(found.base, prediction.base, rtol=1e-12)
    np.testing.assert_allclose(found.prediction, prediction.resmem, rtol=1e-9)
    if n_classes == REGRESSION:
        added = found.shares[0].contributions.sum(axis=1)
        expected = 0.6 * model.bases[0].predict(X) + SHARE * found.base + added
        np.testing.assert_allclose(found.prediction, expected, rtol=1e-9)


@pytest.mark.parametrize("what", ["remember", "forget"])
def test_rows_come_and_go_and_the_weights_stay(what):
    setting = Settings(n_neighbors=5, bandwidth=0.5)
    model, X = of_three_bases(REGRESSION, (0, setting, 0.6), base_share=SHARE)
    if what == "remember":
        others = X[:3] + np.array([0.5, 0.5, 0, 0.5])
        changed = model.remember(rows_of(others, np.zeros(3)), np.full(80, -1), None, seed=0)
    else:
        changed = model.forget(np.arange(80) < 3, None, seed=0)
    assert (changed.base_weights, changed.base_share) == (WEIGHTS, SHARE)
    assert changed.members[0].memory.n_cells != model.members[0].memory.n_cells
