"""The encoder: its loss by the formulas, and its gradient by finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model.arrays import Arrays
from resmem_cli.model.spaces.encoder import KINDS, Encoder, Kind, Sizes
from resmem_cli.model.spaces.neighbourhood import EncoderFold, Neighbourhood, distances

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
OUTPUTS = pytest.mark.parametrize("n_outputs", [1, 3])
P = 5  # inputs, of which the first three are numbers, the second of them not periodic
FREQUENCIES = np.array([0.3, 0, 0.3])
HIDDEN, CODES, N_FREQUENCIES, N_EMBEDDED = (7, 6), 4, 3, 2
SMALL = Sizes(HIDDEN, CODES, N_FREQUENCIES, N_EMBEDDED)
TAU = GAMMA = 0.5


def start(kind: Kind, n_trends: int = 1, dtype: type = np.float64) -> Encoder:
    """An encoder all of whose weights matter, also those that start at 0."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 2, P).astype(np.float32)
    found = Encoder.start(kind, scale, FREQUENCIES, n_trends, rng, sizes=SMALL).weights
    filled = {name: value if value.any() else rng.normal(0, 0.5, value.shape) for name, value in found.items()}
    return Encoder(kind, {name: value.astype(dtype) for name, value in filled.items()})


def fold(n_outputs: int, seed: int = 1) -> EncoderFold:
    """Some of it where the loss is clipped: far errors, probabilities that the correction takes out of [0, 1]."""
    rng = np.random.default_rng(seed)
    n_queries, n_memory = 16, 9
    residuals = rng.normal(size=(n_memory, n_outputs))
    if n_outputs == 1:
        predictions, targets = rng.normal(size=(n_queries, 1)), 1.5 * rng.normal(size=(n_queries, 1))
    else:
        predictions = rng.dirichlet(np.full(n_outputs, 0.5), n_queries)
        targets = np.eye(n_outputs)[rng.integers(0, n_outputs, n_queries)]
        residuals -= residuals.mean(axis=1, keepdims=True)
    return EncoderFold(rng.normal(size=(n_memory, P)), residuals, rng.normal(size=(n_queries, P)), predictions, targets)


def neighbourhood(kind: Kind, n_outputs: int, tau: float = TAU, gamma: float = GAMMA) -> Neighbourhood:
    """Of a regression (one output) there is a trend, of classes there is none."""
    return Neighbourhood(start(kind, int(n_outputs == 1)), np.log(np.asarray(tau)), np.log(np.asarray(gamma)))


def by_loops(weights: Arrays, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and trend as the formulas say them, row by row."""
    codes, trends = [], []
    for row in z:
        last = scaled = row * weights["scale"]
        if "frequency" in weights:
            for i, number in enumerate((0, 2)):
                angles = [2 * np.pi * f * row[number] for f in weights["frequency"][number]]
                periodic = np.array([*np.cos(angles), *np.sin(angles)])
                made = np.maximum(periodic @ weights["wave"][i] + weights["wave_bias"][i, 0], 0)
                last = np.concatenate([last, made])
        is_network = "layer_0" in weights
        for i in range(len(HIDDEN) if is_network else 0):
            last = np.maximum(last @ weights[f"layer_{i}"] + weights[f"bias_{i}"], 0)
        out = last @ weights["out"] if "out" in weights else []
        codes.append(out if is_network else [*scaled, *out])
        trends.append(last @ weights["trend"] if "trend" in weights else [0.0])
    return np.array(codes), np.array(trends)


def loss_by_loops(state: Neighbourhood, of: EncoderFold) -> float:
    """The mean loss as the formulas say it."""
    (memory, there), (queries, here) = (by_loops(state.encoder.weights, z) for z in (of.memory, of.queries))
    losses = []
    for query, trend, prediction, target in zip(queries, here, of.predictions, of.targets, strict=True):
        weights = np.exp(-np.linalg.norm(memory - query, axis=1) / np.exp(state.log_tau))
        steps = of.residuals + trend - there
        summed = prediction + np.exp(state.log_gamma) * (weights @ steps) / weights.sum()
        if len(target) == 1:
            error = abs(float(summed[0] - target[0]))
            losses.append(error**2 if error <= 1 else 2 * error - 1)
        else:
            clipped = np.clip(summed, 1e-3, 1)
            losses.append(-np.log(clipped[target == 1].item() / clipped.sum()))
    return float(np.mean(losses))


# The codes


@EVERY_KIND
@pytest.mark.parametrize("n_trends", [0, 1])
def test_codes_and_trend_are_those_of_the_formulas(kind, n_trends):
    z = np.random.default_rng(2).normal(size=(11, P))
    found = start(kind, n_trends)
    done = found.forward(z)
    codes, trend = by_loops(found.weights, z)
    np.testing.assert_allclose(done.codes, codes, rtol=1e-12, atol=1e-14)
    assert codes.shape == (11, {"diagonal": P, "linear": P + CODES}.get(kind, CODES))
    if n_trends:
        np.testing.assert_allclose(done.trend, trend, rtol=1e-12, atol=1e-14)
    else:
        assert done.trend is None
    assert found.n_inputs == P


@EVERY_KIND
def test_a_start_is_drawn_by_its_generator_from_the_scale_and_in_single_precision(kind):
    scale = np.linspace(0.1, 1, P)
    first, again, other = (
        Encoder.start(kind, scale, FREQUENCIES, 1, np.random.default_rng(seed), sizes=SMALL).weights
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first["scale"], scale.astype(np.float32))
    assert all(value.dtype == np.float32 for value in first.values())
    assert all((first[name] == again[name]).all() for name in first)
    assert all((first[name] != other[name]).any() for name in first if name != "scale" and first[name].any())
    n_inputs = P + (2 * N_EMBEDDED if kind == "periodic" else 0)
    network = {"layer_0": (n_inputs, 7), "bias_0": (7,), "layer_1": (7, 6), "bias_1": (6,), "out": (6, CODES)}
    periodic = {
        "frequency": (3, N_FREQUENCIES),
        "wave": (2, 2 * N_FREQUENCIES, N_EMBEDDED),
        "wave_bias": (2, 1, N_EMBEDDED),
    }
    assert {name: value.shape for name, value in first.items()} == {
        "diagonal": {"scale": (P,), "trend": (P, 1)},
        "linear": {"scale": (P,), "out": (P, CODES), "trend": (P, 1)},
        "mlp": {"scale": (P,), **network, "trend": (6, 1)},
        "periodic": {"scale": (P,), **network, **periodic, "trend": (6, 1)},
    }[kind]


@pytest.mark.parametrize("frequencies", [np.empty(0), np.zeros(2)], ids=["no numbers", "none periodic"])
def test_without_numbers_there_is_nothing_to_make_waves_of(frequencies):
    made = Encoder.start("periodic", np.ones(P), frequencies, 0, np.random.default_rng(0), sizes=SMALL)
    plain = Encoder.start("mlp", np.ones(P), np.empty(0), 0, np.random.default_rng(0), sizes=SMALL)
    assert made.weights.keys() == plain.weights.keys()
    assert made.forward(np.ones((3, P), np.float32)).codes.shape == (3, CODES)


@EVERY_KIND
def test_a_trend_starts_at_0(kind):
    z = np.random.default_rng(3).normal(size=(9, P)).astype(np.float32)
    trend = Encoder.start(kind, np.ones(P), FREQUENCIES, 1, np.random.default_rng(0), sizes=SMALL).forward(z).trend
    np.testing.assert_array_equal(trend, np.zeros((9, 1)))


def test_a_starting_linear_map_adds_less_to_distances_than_the_scaled_inputs():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(50, 10)).astype(np.float32)
    codes = Encoder.start("linear", np.ones(10), np.ones(10), 0, rng).forward(z).codes
    inputs, net = (distances(part, part).mean() for part in (codes[:, :10], codes[:, 10:]))
    assert 0 < net < inputs


def test_distances_are_euclidean_and_never_quite_0():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(9, 4))
    np.testing.assert_allclose(distances(a, b), np.linalg.norm(a[:, None] - b, axis=2), rtol=1e-9)
    same = distances(a.astype(np.float32), a.astype(np.float32))
    assert (np.diag(same) > 0).all()
    assert (np.diag(same) < 2e-3).all()


# The loss and its gradient


@EVERY_KIND
@OUTPUTS
def test_the_loss_is_that_of_the_formulas(kind, n_outputs):
    state, of = neighbourhood(kind, n_outputs), fold(n_outputs)
    assert state.loss_and_gradient(of)[0] == pytest.approx(loss_by_loops(state, of), rel=1e-6)


@OUTPUTS
def test_the_lessons_reach_where_the_loss_is_clipped_and_where_it_is_not(n_outputs):
    of = fold(n_outputs)
    queries, memory = (start("diagonal").forward(z).codes for z in (of.queries, of.memory))
    weights = np.exp(-distances(queries, memory) / TAU)
    summed = of.predictions + GAMMA * (weights @ of.residuals) / weights.sum(axis=1, keepdims=True)
    clipped = np.abs(summed - of.targets) > 1 if n_outputs == 1 else (summed < 1e-3) | (summed > 1)
    assert 0 < clipped.sum() < clipped.size


@EVERY_KIND
@OUTPUTS
def test_the_gradient_in_every_weight_is_that_of_finite_differences(kind, n_outputs):
    state, of = neighbourhood(kind, n_outputs), fold(n_outputs)
    _, gradient = state.loss_and_gradient(of)
    assert gradient.keys() == {*state.encoder.weights, "log_tau", "log_gamma"}
    step = 1e-6

    def loss(name: str, place: tuple[int, ...], by: float) -> float:
        moved = state.encoder.weights[name].copy()
        moved[place] += by
        return replace(state, encoder=Encoder(kind, {**state.encoder.weights, name: moved})).loss_and_gradient(of)[0]

    for name, value in state.encoder.weights.items():
        expected = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            if name == "frequency" and place[0] == 1:  # of the number that is not periodic, and stays so
                continue
            expected[place] = (loss(name, place, step) - loss(name, place, -step)) / (2 * step)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-5, atol=1e-8, err_msg=name)


@EVERY_KIND
@OUTPUTS
def test_the_gradient_in_log_tau_and_log_gamma_is_that_of_finite_differences(kind, n_outputs):
    """They are steps that single precision holds exactly, because that is what τ and γ are rounded to."""
    of, step = fold(n_outputs), 2.0**-13
    gradient = neighbourhood(kind, n_outputs).loss_and_gradient(of)[1]
    width = np.log(TAU + step) - np.log(TAU - step)
    more, less = (neighbourhood(kind, n_outputs, tau=TAU + by).loss_and_gradient(of)[0] for by in (step, -step))
    assert gradient["log_tau"] == pytest.approx((more - less) / width, rel=1e-5)
    more, less = (neighbourhood(kind, n_outputs, gamma=GAMMA + by).loss_and_gradient(of)[0] for by in (step, -step))
    assert gradient["log_gamma"] == pytest.approx((more - less) / width, rel=1e-5)


@EVERY_KIND
def test_queries_equal_to_memory_rows_do_not_drown_the_gradient_in_rounding_errors(kind):
    """The root of a squared distance is steepest where single precision leaves nothing of the distance."""
    rng = np.random.default_rng(4)
    memory, queries = (rng.integers(0, 3, (n, P)).astype(np.float64) for n in (900, 200))
    of = EncoderFold(memory, rng.normal(size=(900, 1)), queries, np.zeros((200, 1)), rng.normal(size=(200, 1)))
    single = EncoderFold(*(getattr(of, name).astype(np.float32) for name in list(vars(of))[:5]))
    exact = neighbourhood(kind, 1).loss_and_gradient(of)[1]
    found = replace(neighbourhood(kind, 1), encoder=start(kind, dtype=np.float32)).loss_and_gradient(single)[1]
    for name in start(kind).weights:
        assert found[name].dtype == np.float32
        assert np.linalg.norm(found[name] - exact[name]) < 0.02 * np.linalg.norm(exact[name]), name
