"""Sparse residuals: of every class they are the dense ones; of some, the own class and the most probable."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model import residuals as module
from resmem_cli.model.arrays import Floats, row_blocks
from resmem_cli.model.kernel import residuals, tempered
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.residuals import SparseResiduals, from_arrays, joined, sparse_residuals, to_arrays
from tests.model.examples import make_rows, quick_base

N_CLASSES = 6
TEMPERATURES = (1.0, 2.5)


def sparse(
    n: int = 80, *, n_largest: int = N_CLASSES, seed: int = 0
) -> tuple[dict[float, SparseResiduals], Floats, Floats]:
    """Sparse residuals by temperature, and the predictions and classes that they are of."""
    X, y, problem = make_rows(n, N_CLASSES, seed)
    base = quick_base("linear", X, y, problem)
    return sparse_residuals(base, X, y, N_CLASSES, TEMPERATURES, n_largest=n_largest), base.predict(X), y


def test_of_all_classes_they_are_the_residuals() -> None:
    found, predictions, y = sparse()
    for temperature in TEMPERATURES:
        np.testing.assert_array_equal(found[temperature].dense(), residuals(y, tempered(predictions, temperature)))


@pytest.mark.parametrize("n_largest", [1, 3])
def test_of_some_they_hold_the_own_class_and_the_most_probable_others(n_largest: int) -> None:
    found, predictions, y = sparse(n_largest=n_largest)
    codes = y.astype(int)
    for temperature in TEMPERATURES:
        whole = residuals(y, tempered(predictions, temperature))
        for row, kept in enumerate(found[temperature].classes.tolist()):
            others = sorted((c for c in range(N_CLASSES) if c != codes[row]), key=lambda c: -predictions[row, c])
            assert set(kept) == {codes[row], *others[:n_largest]}
            np.testing.assert_array_equal(found[temperature].values[row], whole[row, kept])


def test_blocks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = sparse(n_largest=3)
    monkeypatch.setattr(module, "row_blocks", lambda n, _: [slice(i, i + 7) for i in range(0, n, 7)])
    parts, _, _ = sparse(n_largest=3)
    for temperature in TEMPERATURES:
        np.testing.assert_allclose(parts[temperature].dense(), whole[temperature].dense(), atol=1e-14)


def test_rows_are_cut_into_blocks_only_of_very_many_classes() -> None:
    assert row_blocks(1_000_000, 100) == [slice(0, 1_000_000)]
    blocks = row_blocks(1_000, 10_000)
    assert [(each.start, each.stop) for each in blocks] == [(0, 400), (400, 800), (800, 1_200)]
    assert row_blocks(3, 10**9) == [slice(0, 1), slice(1, 2), slice(2, 3)]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_cells_is_that_of_all_classes(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0, 2, 80) if weighted else None
    cells = Cells.group(rng.integers(0, 12, (80, 1)).astype(np.float32), weight)
    found, _, _ = sparse(n_largest=2)
    means = cells.mean(found[1.0], weight)
    assert isinstance(means, SparseResiduals)
    np.testing.assert_allclose(means.dense(), cells.mean(found[1.0].dense(), weight), atol=1e-14)


def test_a_cell_of_very_many_classes_holds_the_largest() -> None:
    n = 200
    one_each = SparseResiduals(np.arange(n)[:, None], np.linspace(0.1, 1, n)[:, None], n)
    means = one_each.cell_means(np.zeros(n, dtype=np.int64), np.array([float(n)]), None)
    assert means.classes.tolist() == [list(range(n - 1, n - 65, -1))]
    np.testing.assert_allclose(means.values[0], np.linspace(0.1, 1, n)[: n - 65 : -1] / n)


def test_some_of_them_and_more_of_them() -> None:
    (few, _, _), (many, _, _) = sparse(20, n_largest=1, seed=1), sparse(30, n_largest=4, seed=2)
    both = joined([few[1.0], many[1.0]])
    assert isinstance(both, SparseResiduals)
    np.testing.assert_array_equal(both.dense(), np.concatenate([few[1.0].dense(), many[1.0].dense()]))
    np.testing.assert_array_equal(both[[3, 1]].dense(), both.dense()[[3, 1]])
    with pytest.raises(TypeError, match="different kinds"):
        joined([few[1.0], many[1.0].dense()])


def test_those_of_one_class_per_row_are_found() -> None:
    found, _, _ = sparse(n_largest=2)
    neighbors = found[1.0][np.arange(10).reshape(5, 2)]
    classes = np.array([0, 3, 5, 1, 2])
    expected = found[1.0].dense()[np.arange(10).reshape(5, 2)][np.arange(5), :, classes]
    np.testing.assert_array_equal(neighbors.of_classes(classes), expected)


def test_what_is_stored_comes_back() -> None:
    found, _, _ = sparse(n_largest=2)
    again = from_arrays(to_arrays(found[1.0]), 80, N_CLASSES)
    assert isinstance(again, SparseResiduals)
    np.testing.assert_array_equal(again.dense(), found[1.0].dense())
    np.testing.assert_array_equal(from_arrays(to_arrays(found[1.0].dense()), 80, N_CLASSES), found[1.0].dense())


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("residual_classes", np.full((3, 2), N_CLASSES)),
        ("residual_classes", np.full((3, 2), -1)),
        ("residual_classes", np.zeros((3, 2))),
        ("residual_classes", np.zeros((3, 2), np.int32)),
        ("residual_classes", np.zeros((2, 2), np.int64)),
        ("residual_classes", np.zeros(3, np.int64)),
        ("residual_classes", np.zeros((3, 0), np.int64)),
        ("residual_classes", np.zeros((3, N_CLASSES + 1), np.int64)),
        ("residuals", np.zeros((3, 3))),
        ("residuals", np.zeros((3, 2), np.float32)),
        ("residuals", np.full((3, 2), np.nan)),
    ],
)
def test_damaged_ones_are_refused(name: str, array: np.ndarray) -> None:
    arrays = {"residuals": np.zeros((3, 2)), "residual_classes": np.zeros((3, 2), np.int64)}
    assert len(from_arrays(arrays, 3, N_CLASSES)) == 3
    with pytest.raises(ValueError, match="residual"):
        from_arrays({**arrays, name: array}, 3, N_CLASSES)
    with pytest.raises(ValueError, match="residual_classes"):  # numbers have no classes
        from_arrays(arrays, 3, 0)
