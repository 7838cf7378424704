"""Training the encoder: seeded, and it finds the columns whose neighbourhood explains the residual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from resmem_cli.model.arrays import Arrays
from resmem_cli.model.spaces.encoder import KINDS, Encoder, Kind
from resmem_cli.model.spaces.learning import (
    Checkpoint,
    Schedule,
    n_memories,
    started,
    starting_frequencies,
    train,
    weight_decay,
)
from resmem_cli.model.spaces.neighbourhood import EncoderFold, Neighbourhood, distances

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
NETWORKS = pytest.mark.parametrize("kind", ["mlp", "periodic"])
OUTPUTS = pytest.mark.parametrize("n_outputs", [1, 3])
P, RELEVANT = 5, 2


def problem(n_outputs: int, *, n_memory: int = 500, n_queries: int = 300, seed: int = 0) -> EncoderFold:
    """A base that knows nothing, and targets that only one of the columns says anything of."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1.7, 1.7, (n_memory + n_queries, P)).astype(np.float32)
    value = np.sin(3 * z[:, RELEVANT])
    if n_outputs == 1:
        predictions = np.zeros((len(z), 1))
        targets = value[:, None] + rng.normal(0, 0.1, (len(z), 1))
    else:
        predictions = np.full((len(z), 3), 1 / 3)
        targets = np.eye(3)[np.digitize(value, [-0.5, 0.5])]
    predictions, targets = predictions.astype(np.float32), targets.astype(np.float32)
    residuals = targets[:n_memory] - predictions[:n_memory]
    return EncoderFold(z[:n_memory], residuals, z[n_memory:], predictions[n_memory:], targets[n_memory:])


def start_of(kind: Kind, of: EncoderFold, rng: np.random.Generator) -> Neighbourhood:
    n_trends = int(of.targets.shape[1] == 1)
    return started(of, Encoder.start(kind, np.full(P, 1.0), np.full(P, 0.3), n_trends, rng), 1, rng)


def learned(kind: Kind, folds: list[EncoderFold], n_steps: int, seed: int = 0, report=lambda _: None) -> Neighbourhood:
    rng = np.random.default_rng(seed)
    return train(folds, Checkpoint(start_of(kind, folds[0], rng)), Schedule(n_steps), rng, report).neighbourhood


def held_out_loss(trained: Neighbourhood, of: EncoderFold) -> float:
    """Of queries that nothing was trained on."""
    return trained.loss_and_gradient(of)[0]


def assert_equal(first: Neighbourhood, second: Neighbourhood) -> None:
    for name, value in first.to_arrays().items():
        np.testing.assert_array_equal(value, second.to_arrays()[name], err_msg=name)


# Training


def decay_of(fold: EncoderFold) -> float:
    return weight_decay(len(fold.memory) + len(fold.queries), fold.targets.shape[1])


def first_step(kind: Kind, n_outputs: int, rate: float) -> NDArray[np.float32]:
    """Return what the first of two steps, at half of the rate, does to the last matrix beside decay.

    The second step has no length.
    """
    fold = problem(n_outputs)
    before = start_of(kind, fold, np.random.default_rng(0)).to_arrays()["out"]
    return learned(kind, [fold], 2).to_arrays()["out"] - (1 - rate / 2 * decay_of(fold)) * before


@NETWORKS
def test_encoders_of_numbers_are_trained_by_adam(kind):
    """Its first step changes nearly every weight by its rate."""
    np.testing.assert_allclose(np.quantile(np.abs(first_step(kind, 1, 0.004)), [0.1, 0.5, 1]), 0.004 / 2, rtol=0.3)


@NETWORKS
def test_encoders_of_classes_are_trained_by_muon(kind):
    """Its steps have singular values of about .2 √m times its rate, as far as the gradient has such directions."""
    step = first_step(kind, 3, 0.016)
    values = np.linalg.svd(step, compute_uv=False)
    length = 0.016 / 2 * 0.2 * max(step.shape) ** 0.5
    assert 0.6 * length < values[2] <= values[0] < 1.5 * length


@EVERY_KIND
def test_matrices_that_nothing_holds_up_decay_and_nothing_else_moves(kind):
    fold = problem(1)
    fold = replace(fold, residuals=np.zeros_like(fold.residuals), targets=fold.predictions)
    rng = np.random.default_rng(0)
    start = start_of(kind, fold, rng)
    n_steps = 40
    trained = train([fold], Checkpoint(start), Schedule(n_steps), rng).neighbourhood.to_arrays()
    rates = 0.004 * (1 + np.cos(np.pi * np.arange(1, n_steps + 1) / n_steps)) / 2
    matrices = [name for name, value in start.to_arrays().items() if value.ndim > 1 and "bias" not in name]
    for name, value in start.to_arrays().items():
        kept = np.prod(1 - rates * decay_of(fold)) if name in matrices and name not in ("trend", "frequency") else 1.0
        np.testing.assert_allclose(trained[name], kept * value, rtol=1e-5, err_msg=name)


@NETWORKS
def test_a_training_of_classes_goes_on_where_three_fifths_of_it_were_done(kind):
    fold, rng = problem(3), np.random.default_rng(0)
    trained, checkpoint = train([fold], Checkpoint(start_of(kind, fold, rng)), Schedule(10), rng)
    assert checkpoint.progress == 0.6
    middle = checkpoint.neighbourhood.to_arrays()["out"]
    assert (middle != trained.to_arrays()["out"]).any()
    late, early = (moved(start, fold) for start in (checkpoint, Checkpoint(checkpoint.neighbourhood)))
    rates = [(1 + np.cos(np.pi * share)) / 2 for share in (0.8, 0.5)]
    np.testing.assert_allclose(late, rates[0] / rates[1] * early, rtol=0.01, atol=1e-6)


@EVERY_KIND
def test_a_training_of_numbers_goes_on_from_its_end_as_at_first(kind):
    fold, rng = problem(1), np.random.default_rng(0)
    trained, checkpoint = train([fold], Checkpoint(start_of(kind, fold, rng)), Schedule(10), rng)
    assert checkpoint.progress == 0
    assert_equal(checkpoint.neighbourhood, trained)


def moved(start: Checkpoint, fold: EncoderFold) -> NDArray[np.float32]:
    """Return what two further steps, the second of which has no length, do to the last matrix."""
    after = train([fold], start, Schedule(2), np.random.default_rng(1)).neighbourhood
    return after.to_arrays()["out"] - start.neighbourhood.to_arrays()["out"]


def test_decay_grows_as_the_root_of_how_few_rows_there_are():
    assert [weight_decay(n, 1) for n in (100, 1_250, 5_000, 20_000, 1_000_000)] == [4, 4, 2, 1, 1]
    assert [weight_decay(n, 11) for n in (100, 1_250, 5_000)] == [4, 2, 1]  # trained for twice as long


def test_a_step_remembers_a_quarter_of_many_rows_and_no_fewer_than_2048():
    n_rows = (10, 2_000, 5_000, 12_000, 100_000)
    assert [n_memories(n, 1) for n in n_rows] == [10, 2_000, 2_048, 3_000, 4_096]
    assert [n_memories(n, 2) for n in n_rows] == [10, 2_000, 4_096, 6_000, 8_192]


def test_a_denser_training_remembers_more_in_every_step(monkeypatch):
    sizes = []

    def gradient_of(self: Neighbourhood, fold: EncoderFold) -> tuple[float, Arrays]:
        sizes.append(len(fold.memory))
        return loss_and_gradient(self, fold)

    loss_and_gradient = Neighbourhood.loss_and_gradient
    monkeypatch.setattr(Neighbourhood, "loss_and_gradient", gradient_of)
    fold, rng = problem(1, n_memory=5_000), np.random.default_rng(0)
    start = Checkpoint(start_of("linear", fold, rng))
    for density in (1, 2):
        train([fold], start, Schedule(2, density), rng)
    assert sizes == [2_048, 2_048, 4_096, 4_096]


def test_a_denser_training_starts_with_a_smaller_tau_because_as_many_memories_count():
    fold = problem(1, n_memory=5_000)
    encoder = start_of("linear", fold, np.random.default_rng(0)).encoder
    usual, dense = (started(fold, encoder, density, np.random.default_rng(1)).log_tau for density in (1, 2))
    assert dense < usual


def test_what_a_fold_has_trained_is_trained_for_a_third_as_long_and_as_densely():
    assert Schedule(10, density=2).resumed == Schedule(4, density=2)


@EVERY_KIND
@OUTPUTS
def test_training_lowers_the_held_out_loss_and_shrinks_the_scales_of_columns_without_a_say(kind, n_outputs):
    folds = [problem(n_outputs, seed=seed) for seed in (0, 1)]
    fresh = problem(n_outputs, seed=9)
    start, trained = (learned(kind, folds, n_steps) for n_steps in (0, 120))
    assert held_out_loss(trained, fresh) < 0.7 * held_out_loss(start, fresh)

    def share(of: Neighbourhood) -> float:
        """How far the columns without a say move the codes, relative to the one that has one."""
        codes = [of.encoder.forward(inputs).codes for inputs in (z, *(z + step for step in steps))]
        moved = [np.linalg.norm(other - codes[0], axis=1).mean() for other in codes[1:]]
        return max(moved[:RELEVANT] + moved[RELEVANT + 1 :]) / moved[RELEVANT]

    z, steps = fresh.queries, np.eye(P, dtype=np.float32)
    assert share(start) > 0.5
    assert share(trained) < 0.45
    if kind in ("diagonal", "linear"):  # a network may do it with its weights
        scale = np.abs(trained.encoder.weights["scale"])
        assert np.delete(scale, RELEVANT).max() < (0.5 if kind == "diagonal" else 0.7) * scale[RELEVANT]


@EVERY_KIND
def test_the_same_seed_trains_the_same_encoder_and_another_seed_another(kind):
    folds = [problem(1, n_memory=60, n_queries=40, seed=seed) for seed in (0, 1)]
    first, again, other = (learned(kind, folds, 8, seed) for seed in (1, 1, 2))
    assert_equal(first, again)
    others = other.to_arrays()
    for name, value in first.to_arrays().items():
        assert (value != others[name]).any(), name
        assert value.dtype == np.float32


@EVERY_KIND
def test_training_can_be_taken_up_again_where_it_was_left(kind):
    folds = [problem(1, seed=seed) for seed in (0, 1)]
    fresh, rng = problem(1, seed=9), np.random.default_rng(0)
    before = learned(kind, folds, 10)
    arrays = {name: value.copy() for name, value in before.to_arrays().items()}
    assert held_out_loss(train(folds, Checkpoint(before), Schedule(60), rng).neighbourhood, fresh) < held_out_loss(
        before, fresh
    )
    for name, value in before.to_arrays().items():  # which nothing has written to
        np.testing.assert_array_equal(value, arrays[name])


@EVERY_KIND
def test_the_start_has_a_tau_by_which_a_few_dozen_neighbours_count_and_without_steps_it_is_returned(kind):
    fold, rng = problem(1), np.random.default_rng(3)
    start = start_of(kind, fold, rng)
    untrained = train([fold], Checkpoint(start), Schedule(0), rng).neighbourhood
    assert untrained.to_arrays().keys() == start.to_arrays().keys()
    assert_equal(untrained, start)
    assert start.log_gamma == 0
    queries, memory = (start.encoder.forward(z).codes for z in (fold.queries, fold.memory))
    weights = np.exp(-distances(queries, memory) / np.exp(start.log_tau))
    weights /= weights.sum(axis=1, keepdims=True)
    assert 10 < np.median(1 / np.square(weights).sum(axis=1)) < 150


def test_rows_without_weight_are_never_asked():
    fold = problem(1, n_memory=60, n_queries=40)
    weight = np.repeat([1 / 20, 0], 20)
    targets = fold.targets.copy()
    targets[20:] = 1e6
    first, second = (
        learned("linear", [replace(fold, weight=weight, targets=some)], 6) for some in (fold.targets, targets)
    )
    assert_equal(first, second)


@OUTPUTS
def test_a_memory_of_one_row_a_single_query_and_equal_rows_are_no_obstacle(n_outputs):
    whole = problem(n_outputs, n_memory=1, n_queries=1)
    equal = replace(problem(n_outputs, n_memory=40, n_queries=40), memory=np.ones((40, P)), queries=np.ones((40, P)))
    for kind in KINDS:
        for fold in (whole, replace(equal, memory=np.float32(equal.memory), queries=np.float32(equal.queries))):
            found = learned(kind, [fold], 5)
            assert all(np.isfinite(value).all() for value in found.to_arrays().values())


@EVERY_KIND
@OUTPUTS
def test_memories_too_far_to_count_make_no_subnormal_numbers(kind, n_outputs):
    """Processors multiply those many times slower: they were four fifths of the time of training."""
    fold = problem(n_outputs)
    start = replace(start_of(kind, fold, np.random.default_rng(0)), log_tau=np.asarray(np.log(0.01), np.float32))
    codes = [start.encoder.forward(inputs).codes for inputs in (fold.queries, fold.memory)]
    assert np.ptp(distances(*codes)) > 1  # a hundred times τ
    with np.errstate(under="raise"):
        start.loss_and_gradient(fold)


def test_progress_is_reported_every_50_steps():
    said: list[str] = []
    learned("diagonal", [problem(1, n_memory=20, n_queries=20)], 110, report=said.append)
    assert said == [f"training the encoder: step {step} of 110" for step in (0, 50, 100)]


# Where it starts


def test_waves_of_a_number_with_few_values_start_faster_and_two_values_have_none():
    found = starting_frequencies(np.array([False, True, True]), np.array([False, False, True]))
    np.testing.assert_array_equal(found, np.array([0.3, 1, 0], np.float32))
