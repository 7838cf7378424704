"""Hidden layers and periodic features: gradients by finite differences, and several networks at once as each alone."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.arrays import Arrays
from resmem_cli.model.network import Network, in_blocks

P, N = 4, 6  # inputs, of which the first three are numbers, the second not periodic; rows
FREQUENCIES = np.array([0.3, 0, 0.3], np.float32)


def networks(frequencies: np.ndarray | None, n: int = 3) -> list[Arrays]:
    """The weights of several networks in double precision, none 0 but the frequencies of what is not periodic."""
    found = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        scale = rng.uniform(0.5, 2, P).astype(np.float32)
        weights = Network.start(scale, frequencies, (5, 4), rng, n_frequencies=3, n_embedded=2).weights
        filled = {name: value if value.any() else rng.normal(0, 0.5, value.shape) for name, value in weights.items()}
        found.append({name: value.astype(np.float64) for name, value in filled.items()})
    return found


def stacked(each: list[Arrays]) -> Arrays:
    return {name: np.stack([weights[name] for weights in each]) for name in each[0]}


PERIODIC = pytest.mark.parametrize("frequencies", [None, FREQUENCIES], ids=["plain", "periodic"])


@PERIODIC
def test_several_networks_at_once_give_the_layers_and_gradients_of_each_alone(frequencies):
    rng = np.random.default_rng(9)
    each = networks(frequencies)
    z, below = rng.normal(size=(3, N, P)), rng.normal(size=(3, N, 4))
    at_once = Network(stacked(each))
    done = at_once.forward(z)
    gradient = at_once.backward(z, done, below.copy())
    assert gradient.keys() == each[0].keys()
    for i, weights in enumerate(each):
        alone = Network(weights)
        own = alone.forward(z[i])
        np.testing.assert_allclose(done.last[i], own.last, rtol=1e-12)
        for name, slope in alone.backward(z[i], own, below[i].copy()).items():
            assert slope.shape == weights[name].shape
            np.testing.assert_allclose(gradient[name][i], slope, rtol=1e-9, atol=1e-12, err_msg=name)


@PERIODIC
def test_the_gradient_of_several_networks_at_once_is_that_of_finite_differences(frequencies):
    rng = np.random.default_rng(9)
    weights = stacked(networks(frequencies))
    z, below = rng.normal(size=(3, N, P)), rng.normal(size=(3, N, 4))

    def loss(of: Arrays) -> float:
        return float((Network(of).forward(z).last * below).sum())

    gradient = Network(weights).backward(z, Network(weights).forward(z), below.copy())
    step = 1e-6
    for name, value in weights.items():
        for at in np.ndindex(value.shape):
            if name == "frequency" and value[at] == 0:  # of the number that is not periodic
                assert gradient[name][at] == 0
                continue
            moved = []
            for sign in (1, -1):
                other = value.copy()
                other[at] += sign * step
                moved.append(loss({**weights, name: other}))
            assert gradient[name][at] == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5, abs=1e-6), name


def test_rows_that_are_equal_are_computed_equally_in_blocks_wherever_they_stand():
    rng = np.random.default_rng(0)
    weights = Network.start(np.ones(P, np.float32), FREQUENCIES, (32, 16), rng).weights
    z = rng.normal(size=(300, P)).astype(np.float32)
    z[299] = z[3]
    (last,) = in_blocks(z, lambda block: (Network(weights).forward(block).last,))
    (few,) = in_blocks(z[3:10], lambda block: (Network(weights).forward(block).last,))
    np.testing.assert_array_equal(last[299], last[3])
    np.testing.assert_array_equal(few, last[3:10])
    assert in_blocks(z[:0], lambda block: (Network(weights).forward(block).last,))[0].shape == (0, 16)


@pytest.mark.parametrize("name", ["scale", "frequency", "wave", "wave_bias", "layer_0", "bias_0", "layer_1", "bias_1"])
def test_weights_of_which_one_is_missing_or_another_are_refused(name):
    whole = Network.start(np.ones(P, np.float32), FREQUENCIES, (5, 4), np.random.default_rng(0)).weights
    assert Network(whole).refuse_damaged() == 4
    with pytest.raises((KeyError, ValueError)):
        Network({key: value for key, value in whole.items() if key != name}).refuse_damaged()
    with pytest.raises((KeyError, ValueError)):
        Network({**whole, name: whole[name][:-1]}).refuse_damaged()
