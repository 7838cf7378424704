"""The encoder: its loss by the formulas, and its gradient by finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import encoder
from resmem_cli.model.arrays import Arrays
from resmem_cli.model.encoder import KINDS, Encoder, Lesson, Neighbourhood, distances

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
OUTPUTS = pytest.mark.parametrize("n_outputs", [1, 3])
P = 5  # inputs
TAU = GAMMA = 0.5


@pytest.fixture(autouse=True)
def small_nets(monkeypatch):
    monkeypatch.setattr(encoder, "HIDDEN", 7)
    monkeypatch.setattr(encoder, "OUTPUTS", 4)


def start(kind: encoder.Kind, dtype: type = np.float64) -> Encoder:
    rng = np.random.default_rng(0)
    found = Encoder.start(kind, rng.uniform(0.5, 2, P).astype(np.float32), rng)
    return Encoder({name: value.astype(dtype) for name, value in found.weights.items()})


def lesson(n_outputs: int, seed: int = 1) -> Lesson:
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
    return Lesson(rng.normal(size=(n_memory, P)), residuals, rng.normal(size=(n_queries, P)), predictions, targets)


def neighbourhood(kind: encoder.Kind, tau: float = TAU, gamma: float = GAMMA) -> Neighbourhood:
    return Neighbourhood(start(kind), np.log(np.asarray(tau)), np.log(np.asarray(gamma)))


def codes_by_loops(weights: Arrays, z: np.ndarray) -> np.ndarray:
    out = []
    for row in z:
        scaled = row * weights["scale"]
        below = scaled
        if "in" in weights:
            below = np.maximum(scaled @ weights["in"] + weights["bias"], 0)
        out.append([*scaled, *(below @ weights["out"] if "out" in weights else [])])
    return np.array(out)


def loss_by_loops(state: Neighbourhood, of: Lesson) -> float:
    """The mean loss as the formulas say it."""
    memory, queries = (codes_by_loops(state.encoder.weights, z) for z in (of.memory, of.queries))
    losses = []
    for query, prediction, target in zip(queries, of.predictions, of.targets, strict=True):
        weights = np.exp(-np.linalg.norm(memory - query, axis=1) / np.exp(state.log_tau))
        summed = prediction + np.exp(state.log_gamma) * (weights @ of.residuals) / weights.sum()
        if len(target) == 1:
            error = abs(float(summed[0] - target[0]))
            losses.append(error**2 if error <= 1 else 2 * error - 1)
        else:
            clipped = np.clip(summed, 1e-3, 1)
            losses.append(-np.log(clipped[target == 1].item() / clipped.sum()))
    return float(np.mean(losses))


# The codes


@EVERY_KIND
def test_codes_are_those_of_the_formula_and_the_scaled_inputs_come_first(kind):
    z = np.random.default_rng(2).normal(size=(11, P))
    found = start(kind)
    codes, scaled, hidden = found.forward(z)
    np.testing.assert_array_equal(found.encode(z), codes)
    np.testing.assert_allclose(codes, codes_by_loops(found.weights, z), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(codes[:, :P], scaled)
    assert codes.shape == (11, P if kind == "diagonal" else P + 4)
    assert (hidden is None) == (kind != "mlp")


@EVERY_KIND
def test_a_start_is_drawn_by_its_generator_from_the_scale_and_in_single_precision(kind):
    scale = np.linspace(0.1, 1, P)
    first, again, other = (Encoder.start(kind, scale, np.random.default_rng(seed)).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["scale"], scale.astype(np.float32))
    assert all(value.dtype == np.float32 for value in first.values())
    assert all((first[name] == again[name]).all() for name in first)
    assert all((first[name] != other[name]).any() for name in first if name != "scale")
    shapes = {name: value.shape for name, value in first.items()}
    assert (
        shapes
        == {
            "diagonal": {"scale": (P,)},
            "linear": {"scale": (P,), "out": (P, 4)},
            "mlp": {"scale": (P,), "in": (P, 7), "bias": (7,), "out": (7, 4)},
        }[kind]
    )


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_starting_net_adds_less_to_distances_than_the_scaled_inputs(kind, monkeypatch):
    monkeypatch.undo()
    rng = np.random.default_rng(3)
    z = rng.normal(size=(50, 10)).astype(np.float32)
    codes = Encoder.start(kind, np.ones(10), rng).encode(z)
    inputs, net = (distances(part, part).mean() for part in (codes[:, :10], codes[:, 10:]))
    assert 0 < net < inputs


@EVERY_KIND
@pytest.mark.parametrize("length", [4.0, 0.125, 0.37])
def test_in_units_of_a_length_every_distance_is_divided_by_it(kind, length):
    """By a power of 2 to the last bit, in single precision, too."""
    z = np.random.default_rng(2).normal(size=(11, P)).astype(np.float32)
    for dtype in (np.float32, np.float64):
        before = start(kind, dtype)
        whole, divided = before.encode(z.astype(dtype)), before.in_units_of(length).encode(z.astype(dtype))
        if length != 0.37:
            np.testing.assert_array_equal(divided * length, whole)
        apart = np.linalg.norm(whole[:, None] - whole, axis=2)
        np.testing.assert_allclose(np.linalg.norm(divided[:, None] - divided, axis=2), apart / length, rtol=1e-5)
        assert before.weights.keys() == before.in_units_of(length).weights.keys()


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
    state, of = neighbourhood(kind), lesson(n_outputs)
    assert state.loss_and_gradient(of)[0] == pytest.approx(loss_by_loops(state, of), rel=1e-6)


@OUTPUTS
def test_the_lessons_reach_where_the_loss_is_clipped_and_where_it_is_not(n_outputs):
    of = lesson(n_outputs)
    codes = start("diagonal").encode
    weights = np.exp(-distances(codes(of.queries), codes(of.memory)) / TAU)
    summed = of.predictions + GAMMA * (weights @ of.residuals) / weights.sum(axis=1, keepdims=True)
    clipped = np.abs(summed - of.targets) > 1 if n_outputs == 1 else (summed < 1e-3) | (summed > 1)
    assert 0 < clipped.sum() < clipped.size


@EVERY_KIND
@OUTPUTS
def test_the_gradient_in_every_weight_is_that_of_finite_differences(kind, n_outputs):
    state, of = neighbourhood(kind), lesson(n_outputs)
    _, gradient = state.loss_and_gradient(of)
    assert gradient.keys() == {*state.encoder.weights, "log_tau", "log_gamma"}
    step = 1e-6

    def loss(name: str, place: tuple[int, ...], by: float) -> float:
        moved = state.encoder.weights[name].copy()
        moved[place] += by
        return replace(state, encoder=Encoder({**state.encoder.weights, name: moved})).loss_and_gradient(of)[0]

    for name, value in state.encoder.weights.items():
        expected = np.empty_like(value)
        for place in np.ndindex(value.shape):
            expected[place] = (loss(name, place, step) - loss(name, place, -step)) / (2 * step)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-5, atol=1e-8, err_msg=name)


@EVERY_KIND
@OUTPUTS
def test_the_gradient_in_log_tau_and_log_gamma_is_that_of_finite_differences(kind, n_outputs):
    """They are steps that single precision holds exactly, because that is what τ and γ are rounded to."""
    of, step = lesson(n_outputs), 2.0**-13
    gradient = neighbourhood(kind).loss_and_gradient(of)[1]
    width = np.log(TAU + step) - np.log(TAU - step)
    more, less = (neighbourhood(kind, tau=TAU + by).loss_and_gradient(of)[0] for by in (step, -step))
    assert gradient["log_tau"] == pytest.approx((more - less) / width, rel=1e-5)
    more, less = (neighbourhood(kind, gamma=GAMMA + by).loss_and_gradient(of)[0] for by in (step, -step))
    assert gradient["log_gamma"] == pytest.approx((more - less) / width, rel=1e-5)


@EVERY_KIND
def test_queries_equal_to_memory_rows_do_not_drown_the_gradient_in_rounding_errors(kind):
    """The root of a squared distance is steepest where single precision leaves nothing of the distance."""
    rng = np.random.default_rng(4)
    memory, queries = (rng.integers(0, 3, (n, P)).astype(np.float64) for n in (900, 200))
    of = Lesson(memory, rng.normal(size=(900, 1)), queries, np.zeros((200, 1)), rng.normal(size=(200, 1)))
    single = Lesson(*(getattr(of, name).astype(np.float32) for name in list(vars(of))[:5]))
    exact = neighbourhood(kind).loss_and_gradient(of)[1]
    found = replace(neighbourhood(kind), encoder=start(kind, np.float32)).loss_and_gradient(single)[1]
    for name in start(kind).weights:
        assert found[name].dtype == np.float32
        assert np.linalg.norm(found[name] - exact[name]) < 0.02 * np.linalg.norm(exact[name]), name
