"""Muon: matrices take steps of equal singular values; everything else is Adam's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resmem_cli.model.adam import Adam
from resmem_cli.model.muon import Muon, orthogonal


def muon(rate: float = 0.01, decay: float = 0.0) -> Muon:
    return Muon(rate, decay, lambda name: name in ("layer_0", "out"), Adam(lambda _: 0.01, decay))


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (24, 24)])
def test_the_step_has_the_singular_vectors_of_the_matrix_and_values_of_about_one(shape):
    """Whatever the size of the matrix, and though its own values span three orders of magnitude."""
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.normal(size=(shape[0], 24)))[0]
    right = np.linalg.qr(rng.normal(size=(shape[1], 24)))[0]
    for size in (1e-6, 1.0, 1e6):
        matrix = ((left * np.geomspace(0.05, 1, 24) * size) @ right.T).astype(np.float32)
        values = np.diagonal(left.T @ orthogonal(matrix) @ right)
        assert 0.6 < values.min() <= values.max() < 1.3
        rest = orthogonal(matrix) - (left * values) @ right.T
        assert np.abs(rest).max() < 1e-4


def test_nothing_has_no_direction():
    np.testing.assert_array_equal(orthogonal(np.zeros((3, 5), np.float32)), 0)


def test_steps_are_those_of_the_formulas():
    """Of 1 x 1 matrices, whose orthogonal part is their sign times about 1: Nesterov's momentum decides the sign."""
    gradients, shares, rate, decay = [1.0, -0.2, -3.0], [1.0, 0.5, 0.1], 0.1, 0.3
    expected, momentum, optimizer = 1.5, 0.0, muon(rate, decay)
    weights = {"layer_0": np.full((1, 1), expected, np.float32)}
    for gradient, share in zip(gradients, shares, strict=True):
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.95 * momentum + 0.05 * gradient
        length = share * rate * 0.2 * float(orthogonal(np.ones((1, 1), np.float32))[0, 0])
        expected = (1 - share * rate * decay) * expected - length * math.copysign(1, ahead)
        optimizer.step(weights, {"layer_0": np.full((1, 1), gradient, np.float32)}, share)
        np.testing.assert_allclose(weights["layer_0"], expected, rtol=1e-5)
        assert weights["layer_0"].dtype == np.float32


def test_a_step_is_as_long_as_one_of_adam():
    """A root mean square of .2 times the rate, of any shape."""
    rng = np.random.default_rng(0)
    for shape in ((200, 30), (30, 200), (100, 100)):
        weights = {"out": np.zeros(shape, np.float32)}
        muon(rate=0.01).step(weights, {"out": rng.normal(size=shape).astype(np.float32)})
        assert 0.0014 < np.sqrt(np.mean(weights["out"] ** 2)) < 0.0024


def test_several_networks_are_moved_as_each_alone():
    gradients = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    together, optimizer = {"out": np.ones((3, 5, 4), np.float32)}, muon(decay=0.5)
    for gradient in gradients:
        optimizer.step(together, {"out": gradient})
    for i in range(3):
        alone, optimizer = {"out": np.ones((5, 4), np.float32)}, muon(decay=0.5)
        for gradient in gradients:
            optimizer.step(alone, {"out": gradient[i]})
        np.testing.assert_allclose(together["out"][i], alone["out"], rtol=1e-5, atol=1e-6)


def test_the_other_weights_are_moved_by_adam():
    rng = np.random.default_rng(0)
    shapes = {"scale": (3,), "bias_0": (4,), "wave": (2, 3, 4), "trend": (4, 1), "log_tau": ()}
    gradient = {name: np.asarray(rng.normal(size=shape), np.float32) for name, shape in shapes.items()}
    by_muon = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    by_adam = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    muon(decay=0.5).step(by_muon, gradient, 0.5)
    Adam(lambda _: 0.01, 0.5).step(by_adam, gradient, 0.5)
    for name, value in by_muon.items():
        np.testing.assert_array_equal(value, by_adam[name], err_msg=name)


def test_a_gradient_is_not_changed_by_a_step():
    optimizer, gradient = muon(), {"out": np.ones((2, 2), np.float32), "scale": np.ones(2, np.float32)}
    for _ in range(2):
        optimizer.step({name: np.ones_like(slope) for name, slope in gradient.items()}, gradient)
    for slope in gradient.values():
        np.testing.assert_array_equal(slope, 1)


def test_rows_that_are_nothing_beside_the_others_are_0_and_not_subnormal():
    matrix = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    without = matrix.copy()
    matrix[4:] *= np.float32(1e-18)
    without[4:] = 0
    np.testing.assert_array_equal(orthogonal(matrix), orthogonal(without))
