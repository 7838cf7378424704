"""Which encoders are trained on which base."""

from __future__ import annotations

import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.choosing.options import MemoryOptions, schedule
from resmem_cli.model.choosing.plan import Plan, plans
from resmem_cli.model.rows import Recipe
from tests.model.examples import Parrot, make_rows, quick_base, rows_of

MANY = 11  # classes
BOTH = ("mlp", "periodic")


N_ROWS = 600


def planned(names: list[str], n_classes: int, **options: object) -> list[Plan]:
    X, y, _ = make_rows(N_ROWS, min(n_classes, 3))
    problem = Problem((0,) * X.shape[1], n_classes, 0)
    bases: list[Base] = [quick_base(name, X, y, problem) for name in names]
    recipes = [Recipe(BaseSpec(name, {}), problem) for name in names]
    return plans(rows_of(X, y), bases, recipes, MemoryOptions(**options))


def spaces(names: list[str], n_classes: int, **options: object) -> dict[str, tuple[str, ...]]:
    """By base, the names of the spaces that are tried with it."""
    return dict(zip(names, (plan.spaces for plan in planned(names, n_classes, **options)), strict=True))


def encoders(names: list[str], n_classes: int, **options: object) -> dict[str, tuple[str, ...]]:
    """By base, the kinds of encoder that are trained on it."""
    found = spaces(names, n_classes, **options)
    return {name: tuple(each[8:] for each in own if each.startswith("learned:")) for name, own in found.items()}


@pytest.mark.parametrize("n_classes", [0, 2, 10])
def test_most_encoders_are_trained_on_the_constant_base_and_one_on_the_first_and_the_last_of_the_others(n_classes):
    found = encoders(["boosting", "linear", "network", "discriminant" if n_classes else "mlp", "constant"], n_classes)
    assert list(found.values()) == [("mlp",), (), (), ("mlp",), BOTH]


def test_more_effort_trains_both_encoders_on_those_three_bases_and_for_longer():
    names = ["boosting", "linear", "mlp", "constant"]
    assert list(encoders(names, 0, effort="high").values()) == [BOTH, (), BOTH, BOTH]
    expected = schedule(MemoryOptions(effort="high"), N_ROWS, 1)
    assert {plan.schedule for plan in planned(names, 0, effort="high")} == {expected}


def test_of_many_classes_only_the_constant_base_has_encoders():
    assert encoders(["linear", "constant"], MANY) == {"linear": (), "constant": BOTH}
    assert encoders(["linear", "constant"], MANY, effort="high") == {"linear": (), "constant": BOTH}


@pytest.mark.parametrize("names", [["linear", "constant"], ["constant", "linear"]])
@pytest.mark.parametrize("space", ["sensitivity", "model"])
def test_the_constant_base_has_no_representation_of_its_own(names, space):
    assert spaces(names, 0, space=space) == {"linear": (space,), "constant": ("features",)}
    with pytest.raises(UsageError, match=f"the base constant has no representation '{space}'"):
        spaces(["constant"], 0, space=space)


def test_without_the_constant_base_those_at_both_ends_have_all_encoders():
    assert list(encoders(["linear", "boosting", "mlp"], 0).values()) == [BOTH, (), BOTH]
    assert encoders(["linear"], MANY) == {"linear": BOTH}


def test_a_network_alone_is_what_encoders_learn_from():
    assert encoders(["network"], 0) == {"network": BOTH}
    assert encoders(["network", "constant"], 0) == {"network": (), "constant": BOTH}


def test_the_constant_base_alone_has_all_encoders_and_where_it_is_best_the_others_keep_theirs():
    assert encoders(["constant"], 0) == {"constant": BOTH}
    assert encoders(["constant", "linear"], 0) == {"constant": BOTH, "linear": ("mlp",)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"effort": "quick"}, [(), (), ()]),
        ({"encoder": "diagonal"}, [("diagonal",)] * 3),
        ({"space": "learned"}, [BOTH] * 3),
        ({"space": "learned", "effort": "quick"}, [BOTH] * 3),
        ({"shrinkage": 0.0}, [(), (), ()]),
    ],
)
def test_what_is_asked_for_comes_before_what_is_usual(options, expected):
    assert list(encoders(["boosting", "linear", "constant"], 0, **options).values()) == expected


def test_a_base_says_of_itself_whether_encoders_are_trained_on_it(parrot, monkeypatch):
    assert encoders([parrot, "constant"], 0) == {parrot: ("mlp",), "constant": BOTH}
    monkeypatch.setattr(Parrot, "takes_long", True)
    assert encoders([parrot, "constant"], 0) == {parrot: (), "constant": BOTH}
    monkeypatch.setattr(Parrot, "is_constant", True)
    assert encoders([parrot, "linear"], 0) == {parrot: BOTH, "linear": ("mlp",)}
