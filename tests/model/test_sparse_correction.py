"""The correction by sparse residuals is the kernel's by the same residuals of every class."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from resmem_cli.model.kernel import Corrections, Settings
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.residuals import SparseResiduals
from resmem_cli.model.sparse_correction import CollapsedCorrections, SparseCorrections, collapsed, corrections

N, K, N_CLASSES = 40, 8, 7
SETTINGS = [
    Settings(*each)
    for each in itertools.product((1, 3, K), (0.0, 0.3, np.inf), (True, False), (0.0, 0.5, 2.5), (1.0, 2.0))
]


def both(n_entries: int, seed: int = 0) -> tuple[SparseCorrections, Corrections, np.ndarray]:
    """The two kinds of corrections by residuals of so many classes, and classes of the rows."""
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(N_CLASSES, 0.3), N)
    base[0] = np.eye(N_CLASSES)[2]
    distances, counts = np.sort(rng.exponential(size=(N, K)), axis=1), rng.integers(1, 4, (N, K)).astype(float)
    classes = rng.permuted(np.tile(np.arange(N_CLASSES), (N, K, 1)), axis=2)[:, :, :n_entries]
    of = {t: SparseResiduals(classes, rng.uniform(-1, 1, classes.shape), N_CLASSES) for t in (1.0, 2.0)}
    of[1.0].values[1] = -1.0  # which may leave a row no probability at all
    whole = {
        t: SparseResiduals(each.classes.reshape(N * K, -1), each.values.reshape(N * K, -1), N_CLASSES)
        .dense()
        .reshape(N, K, N_CLASSES)
        for t, each in of.items()
    }
    sparse = SparseCorrections(base, distances, counts, of.__getitem__)
    return sparse, Corrections(base, distances, counts, whole.__getitem__), rng.integers(0, N_CLASSES, N)


@pytest.mark.parametrize("n_entries", [1, 3, N_CLASSES])
def test_predictions_are_those_of_every_class(n_entries: int) -> None:
    sparse, whole, _ = both(n_entries)
    for settings in SETTINGS:
        found = sparse.predictions(settings)
        np.testing.assert_allclose(found, whole.predictions(settings), atol=1e-12, err_msg=str(settings))
        np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("n_entries", [1, 3, N_CLASSES])
@pytest.mark.parametrize("objective", ["log_loss", "accuracy"])
def test_losses_are_those_of_every_class(n_entries: int, objective: str) -> None:
    sparse, whole, y = both(n_entries)
    collapsing = CollapsedCorrections(sparse, y.astype(float), with_others=objective == "accuracy")
    for settings in SETTINGS:
        expected = whole.predictions(settings)
        found = collapsing.predictions(settings)
        loss = row_loss(np.zeros(N), found, objective)
        np.testing.assert_allclose(found[:, 0], expected[np.arange(N), y], atol=1e-12, err_msg=str(settings))
        np.testing.assert_allclose(loss, row_loss(y.astype(float), expected, objective), atol=1e-9)


def test_of_what_is_collapsed_the_losses_are_the_same_and_of_a_mean_no_accuracy_is_too_large() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.dirichlet(np.ones(N_CLASSES), (2, 300))
    y = rng.integers(0, N_CLASSES, 300)
    for objective in ("log_loss", "accuracy"):
        for each in (one, other):
            found = row_loss(np.zeros(300), collapsed(each, y), objective)
            np.testing.assert_array_equal(found, row_loss(y.astype(float), each, objective))
    mean, narrow = (one + other) / 2, (collapsed(one, y) + collapsed(other, y)) / 2
    np.testing.assert_allclose(row_loss(np.zeros(300), narrow), row_loss(y.astype(float), mean), atol=1e-12)
    losses = row_loss(np.zeros(300), narrow, "accuracy"), row_loss(y.astype(float), mean, "accuracy")
    assert (losses[0] >= losses[1]).all()


def test_residuals_of_every_class_are_corrected_as_before_and_sparse_ones_have_no_trend() -> None:
    sparse, whole, _ = both(2)
    args = sparse.base, sparse.distances, sparse.counts
    assert type(corrections(*args, lambda _: None, None, is_sparse=False)) is Corrections
    assert isinstance(corrections(*args, lambda _: None, None, is_sparse=True), SparseCorrections)
    with pytest.raises(ValueError, match="no trend"):
        corrections(*args, lambda _: None, np.zeros((N, N_CLASSES)), is_sparse=True)
    assert whole.trend is None
