"""Networks as a base: what they learn, from which rows, and what is refused. What every base must do is elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.network import Networks
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.rows import Recipe
from resmem_cli.model.splitting import Related
from tests.model.examples import BINARY, MULTICLASS, QUICK, REGRESSION, make_rows, rows_of

FEW = QUICK["network"]


def periodic(n: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, Problem]:
    """A target that turns several times over the range of a number."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    value = np.sin(4 * X[:, 0]) + 0.1 * rng.normal(size=n)
    return X, value if n_classes == 0 else (value > 0).astype(float), Problem((0, 0), n_classes, 0)


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
def test_what_turns_over_the_range_of_a_number_is_learned(n_classes):
    X, y, problem = periodic(1_200, n_classes, 0)
    fresh, truth, _ = periodic(500, n_classes, 1)
    network, line = (kind.fit(X, y, None, problem, {}).predict(fresh) for kind in (Networks, Linear))
    assert network.shape == (500, problem.n_outputs)
    assert row_loss(truth, network).mean() < 0.35 * row_loss(truth, line).mean()
    if n_classes:
        np.testing.assert_allclose(network.sum(axis=1), 1, rtol=1e-12)


def test_a_prediction_is_the_mean_of_its_members_and_each_is_seeded_alone():
    X, y, problem = make_rows(200, MULTICLASS)
    base = Networks.fit(X, y, None, problem, {**FEW, "members": 3})
    each = [replace(base, weights={name: value[[i]] for name, value in base.weights.items()}) for i in range(3)]
    np.testing.assert_allclose(base.predict(X), np.mean([one.predict(X) for one in each], axis=0), rtol=1e-9)
    assert np.abs(each[0].predict(X) - each[1].predict(X)).max() > 1e-3
    other = Networks.fit(X, y, None, replace(problem, seed=8), FEW).predict(X)
    assert np.abs(other - Networks.fit(X, y, None, problem, FEW).predict(X)).max() > 1e-3


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
def test_a_row_of_weight_3_draws_about_as_the_row_three_times(n_classes):
    X, y, problem = make_rows(300, n_classes)
    if n_classes:  # classes that overlap: where they do not, weights change next to nothing
        y = np.where(np.random.default_rng(0).random(300) < 0.3, 1 - y, y)
    heavy = y > np.median(y) if n_classes == 0 else y == 1
    weighted = Networks.fit(X, y, np.where(heavy, 3.0, 1.0), problem, {})
    order = np.concatenate([np.arange(300), *[np.flatnonzero(heavy)] * 2])
    repeated = Networks.fit(X[order], y[order], None, problem, {})
    plain = Networks.fit(X, y, None, problem, {})
    far, near = (np.abs(weighted.predict(X)[:, -1] - other.predict(X)[:, -1]).mean() for other in (plain, repeated))
    assert near < (0.5 if n_classes else 1) * far


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
@pytest.mark.parametrize("n_weighty", [1, 3, 30])
def test_the_rows_that_say_when_to_stop_may_all_have_weight_0(n_classes, n_weighty):
    X, y, problem = make_rows(30, n_classes)
    weight = (np.arange(30) < n_weighty).astype(float)
    assert np.isfinite(Networks.fit(X, y, weight, problem, FEW).predict(X)).all()


def test_a_class_whose_rows_have_weight_0_is_one_that_training_lacks():
    X, y, problem = make_rows(120, MULTICLASS)
    base = Networks.fit(X, y, (y != 1).astype(float), problem, FEW)
    assert (base.predict(X)[:, 1] == 0).all()
    assert base.classes.tolist() == [0, 2, 3]


def test_rows_of_one_group_are_not_stopped_by_each_other():
    """Whoever learns a group's own level by heart would go on for long where another row of it says when to stop."""
    X, y, problem = make_rows(300, REGRESSION)
    asked = []

    class Watched(Problem):
        def stopping_splits(self, X, y, n_splits=1):
            asked.extend(super().stopping_splits(X, y, n_splits))
            return asked

    groups = np.arange(300) // 10
    problem = Watched(problem.n_categories, 0, 0, related=Related(groups, are_named=True))
    Networks.fit(X, y, None, problem, {**FEW, "members": 4})
    assert len(asked) == 4
    for kept, held in asked:
        assert len(held)
        assert not set(groups[kept]) & set(groups[held])


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY])
def test_of_rows_in_time_the_last_are_learned_from_too(n_classes):
    """The last tenth says when to stop, and is then trained on: a level that it alone has is predicted."""
    X, y, problem = make_rows(1_500, n_classes)
    X[:, 0] = np.repeat([0.0, 1.0], [1_350, 150])
    y[1_350:] = 1 if n_classes else y.max()
    rows = replace(rows_of(X, y), times=np.arange(1_500.0))
    recipe = Recipe(BaseSpec("network", {**FEW, "max_steps": 150}), problem)
    late, early = rows.take(np.arange(1_350, 1_500)), rows.take(np.arange(1_350))
    seen, blind = (recipe.base_for(each).predict(late.X)[:, -1] for each in (rows, early))
    truth = 1 if n_classes else y.max()
    assert np.abs(seen - truth).mean() < 0.5 * np.abs(blind - truth).mean()


# What is stored


@pytest.mark.parametrize("n_classes", [REGRESSION, MULTICLASS])
def test_a_restored_base_is_equal_to_the_last_bit(n_classes):
    X, y, problem = make_rows(150, n_classes)
    base = Networks.fit(X, y, None, problem, FEW)
    restored = Networks.restore(base.to_arrays(), None)
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    np.testing.assert_array_equal(restored.represent(X), base.represent(X))
    assert restored.belongs(problem, X.shape[1])
    assert not restored.belongs(replace(problem, n_classes=n_classes + 1), X.shape[1])
    assert not restored.belongs(replace(problem, n_categories=(0, 0)), X.shape[1])


def arrays_of_a_base() -> dict[str, np.ndarray]:
    X, y, problem = make_rows(60, MULTICLASS)
    return dict(Networks.fit(X, y, None, problem, FEW).to_arrays())


def refuse(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Networks.restore(arrays, None)


def test_of_damaged_arrays_nothing_is_restored():
    whole = arrays_of_a_base()
    of_networks = [name for name in whole if name.startswith("network_")]
    assert len(of_networks) == 10
    for name in (*of_networks, "target_scale", "n_classes", "classes"):
        refuse({key: value for key, value in whole.items() if key != name})
    for name in of_networks:
        refuse({**whole, name: whole[name][:1]})  # of one member only
        refuse({**whole, name: whole[name].astype(np.float64)})
    layers = {name: value for name, value in whole.items() if name not in ("network_layer_0", "network_bias_0")}
    refuse(layers)
    none = {name: value for name, value in whole.items() if not name.startswith(("network_layer", "network_bias_"))}
    refuse(none)


@pytest.mark.parametrize("n_members", [0, 33])
def test_no_network_and_too_many_are_refused(n_members):
    whole = arrays_of_a_base()
    of_networks = {
        name: np.repeat(value[:1], n_members, axis=0) for name, value in whole.items() if name.startswith("network_")
    }
    with pytest.raises(ValueError, match=f"it holds {n_members} networks"):
        Networks.restore({**whole, **of_networks}, None)


def test_networks_of_other_features_are_refused():
    whole = arrays_of_a_base()
    X, y, problem = make_rows(60, MULTICLASS)
    wider = Networks.fit(np.column_stack([X, X[:, 0]]), y, None, replace(problem, n_categories=(0, 0, 3, 0, 0)), FEW)
    of_wider = {name: value for name, value in wider.to_arrays().items() if name.startswith("network_")}
    refuse({**whole, **of_wider})


# Parameters


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        *(
            ({"members": each}, f"members is {each!r}, not a whole number of 1 to 32")
            for each in (0, 33, 2.0, True, "3")
        ),
        *(({"max_steps": each}, f"max_steps is {each!r}, not a whole number above 0") for each in (0, -1, 1.5, "x")),
        *(
            ({"learning_rate": each}, f"learning_rate is {each!r}, not a number above 0")
            for each in (0, -1.0, True, "x", float("nan"), float("inf"))
        ),
        *(
            ({"weight_decay": each}, f"weight_decay is {each!r}, not a number of at least 0")
            for each in (-0.1, "x", None, float("inf"))
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_in_a_sentence(params, sentence):
    X, y, problem = make_rows(30, REGRESSION)
    with pytest.raises(UsageError) as refused:
        Networks.fit(X, y, None, problem, params)
    assert (refused.value.message, refused.value.hint) == (sentence, "correct the --param")


def test_no_weight_decay_is_a_choice():
    X, y, problem = make_rows(30, REGRESSION)
    assert np.isfinite(Networks.fit(X, y, None, problem, {**FEW, "weight_decay": 0}).predict(X)).all()
