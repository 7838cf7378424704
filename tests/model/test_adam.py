"""Adam: its steps are those of the formulas, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resmem_cli.model.adam import Adam, is_matrix


def test_steps_are_those_of_the_formulas():
    """Kingma and Ba 2015, algorithm 1; and before each step a matrix is multiplied by 1 - rate * decay."""
    gradients, shares = [0.5, -2.0, 0.25], [1.0, 0.5, 0.1]
    expected = {"layer_0": 1.5, "bias_0": 1.5}
    for name, rate, decay in (("layer_0", 0.1, 0.3), ("bias_0", 0.2, 0.0)):
        m = v = 0.0
        for t, (g, share) in enumerate(zip(gradients, shares, strict=True), start=1):
            m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
            step = (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.98**t)) + 1e-8)
            expected[name] = (1 - share * rate * decay) * expected[name] - share * rate * step

    adam = Adam(lambda name: 0.1 if name == "layer_0" else 0.2, 0.3, 0.98)
    weights = {name: np.full((2, 2), 1.5, np.float32) for name in expected}
    for g, share in zip(gradients, shares, strict=True):
        adam.step(weights, {name: np.full((2, 2), g, np.float32) for name in expected}, share)
    for name, value in weights.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)
    assert adam.n_steps == 3


def test_the_first_step_is_the_rate_whatever_the_size_of_the_gradient():
    adam, weights = Adam(lambda _: 0.01, 1.0), {"scale": np.zeros(3, np.float32)}
    adam.step(weights, {"scale": np.array([1e-4, -3.0, 1e4], np.float32)})
    np.testing.assert_allclose(weights["scale"], [-0.01, 0.01, -0.01], rtol=1e-3)


def test_a_gradient_is_not_changed_by_a_step():
    adam, gradient = Adam(lambda _: 0.01, 1.0), {"out": np.ones(2, np.float32)}
    for _ in range(2):
        adam.step({"out": np.ones(2, np.float32)}, gradient)
    np.testing.assert_array_equal(gradient["out"], 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("layer_0", True), ("wave", True), ("out", True)]
    + [(name, False) for name in ("bias_0", "wave_bias", "scale", "frequency", "bias", "trend")],
)
def test_matrices_decay_and_nothing_else(name, expected):
    assert is_matrix(name) == expected


def test_momentum_of_weights_without_gradients_becomes_0_and_not_subnormal():
    """.9 ** 800 of it is 1e-37; a product with such numbers takes many times as long."""
    adam, weights = Adam(lambda _: 0.01, 0.0), {"out": np.ones((2, 2), np.float32)}
    adam.step(weights, {"out": np.full((2, 2), 1e-3, np.float32)})
    for _ in range(799):
        adam.step(weights, {"out": np.zeros((2, 2), np.float32)})
    np.testing.assert_array_equal(adam.first["out"], 0)
