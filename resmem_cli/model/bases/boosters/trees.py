"""What LightGBM, XGBoost and CatBoost have in common as bases: how they predict, represent and are stored."""

from __future__ import annotations

import inspect
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import threadpoolctl

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model.arrays import WHOLE, Arrays, Floats, Integers, Singles, stored, stored_codes, stored_number
from resmem_cli.model.bases.boosted import MOST_BAGS, ROWS_PER_THREAD, n_groups
from resmem_cli.model.bases.boosters.inputs import Inputs
from resmem_cli.model.bases.boosters.training_set import SHARED, SHORT, Sample, TrainingSet
from resmem_cli.model.bases.protocol import Problem, Usual, fitting, n_models
from resmem_cli.model.bases.table import Table
from resmem_cli.model.combination import sum_in_order

Done = TypeVar("Done")
Model = TypeVar("Model", bound="Trees")

_ROUNDING = 1e-4  # of predictions in single precision, as a part of the largest
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
_FURTHER = "further_{}"
_COMPARED = 1_000  # rows


@dataclass(frozen=True)
class Trees(Usual, ABC):
    """A model of one of the libraries, or the mean of several.

    Attributes:
        usual_bags: of how many models it is the mean, where few rows are learned from and nobody says otherwise.
        data: the model in the library's own format.
        inputs: what it reads.
        classes: [m] which class of the target each of its outputs is; empty for regression.
        n_classes: of the target, 0 for regression.
        notes: of a model from elsewhere, how its file is read.
        further: the other models, each with a seed of its own and, where some are held out to stop by, other such rows.
        short: for how long to learn from few rows, of which none are held out to stop by.
    """

    usual_bags: ClassVar[int] = 1

    is_thread_safe: ClassVar[bool] = False
    package: ClassVar[str | None]
    short: ClassVar[Mapping[str, Any]] = SHORT

    data: bytes
    inputs: Inputs
    classes: Integers
    n_classes: int
    notes: tuple[str, ...] = ()
    further: tuple[Trees, ...] = ()

    # What each library does in its own way.

    @classmethod
    @abstractmethod
    def learned(cls, training_set: TrainingSet, inputs: Inputs) -> bytes:
        """Return the model fitted to the rows; ValueError if the library refuses a parameter."""

    @classmethod
    @abstractmethod
    def opened(cls, data: bytes) -> Any:
        """Return the library's model; ValueError if the bytes are damaged or something else."""

    @abstractmethod
    def outputs(self, X: Floats) -> Floats:
        """Return [n] or [n, 1] numbers, or [n, m] probabilities."""

    @abstractmethod
    def n_rounds(self) -> int:
        """Return how many rounds of trees there are."""

    @abstractmethod
    def sums(self, X: Floats, rounds: list[tuple[int, int]]) -> list[Floats]:
        """Return for each range of rounds the [n] or [n, m] sums of its trees, in units of the logit for classes."""

    @abstractmethod
    def by_owner(self, data: bytes, X: Floats) -> Floats:
        """Return what the library's own interface predicts of [n, d] encoded rows with a file, as `outputs` does."""

    # What is the same for all, or nearly.

    @classmethod
    def inputs_of(cls, problem: Problem) -> Inputs:
        """Return what a model reads that is fitted to encoded rows: their codes and numbers, as they are."""
        return Inputs(np.arange(len(problem.n_categories)), {})

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        sample = Sample(X[:, : len(problem.n_categories)], y, weight)
        inputs, models = cls.inputs_of(problem), list[Self]()
        for which in range(n_models("bags", params.get("bags", SHARED["bags"]), MOST_BAGS)):
            training_set = TrainingSet.plan(sample, problem, params, cls.short, which)
            with fitting(params):
                models.append(cls._fitted(training_set, inputs, problem))
        first, *further = _different(models, X[:_COMPARED])
        return replace(first, further=tuple(further)) if further else first

    @classmethod
    def _fitted(cls, training_set: TrainingSet, inputs: Inputs, problem: Problem) -> Self:
        base = cls(cls.learned(training_set, inputs), inputs, training_set.classes, problem.n_classes)
        again = training_set.again(max(1, base.n_rounds()))
        if again is not None:
            base = replace(base, data=cls.learned(again, inputs))
        if base.width != base.expected_width:
            raise ValueError(f"the model predicts {base.width} numbers per row, and the target is one")
        return base

    @property
    def _all(self) -> tuple[Trees, ...]:
        """The models that this is the mean of."""
        return (self, *self.further)

    @cached_property
    def model(self) -> Any:
        """The library's model."""
        return self.opened(self.data)

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row, found by asking it."""
        return int(np.size(self.outputs(np.full((1, int(self.inputs.columns.max()) + 1), np.nan))))

    @property
    def expected_width(self) -> int:
        return max(1, len(self.classes))

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities."""
        if len(X) == 0:  # which not every library takes
            return np.empty((0, self.n_classes or 1))
        return _mean([each._alone(X) for each in self._all])

    def _alone(self, X: Floats) -> Floats:
        outputs = np.asarray(self._asked(lambda: self.outputs(X)), dtype=np.float64).reshape(len(X), -1)
        if not self.n_classes:
            return outputs
        spread = np.zeros((len(X), self.n_classes))
        # One against the rest, as some models predict, the classes do not sum to 1.
        spread[:, self.classes] = outputs / outputs.sum(axis=1, keepdims=True) if len(self.classes) > 1 else 1.0
        return spread

    def represent(self, X: Floats) -> Singles:
        """Return the sums of consecutive groups of trees, per class in units of its logit."""
        n_columns = len(self.classes) if len(self.classes) > 2 else 1
        fewest = min(each.n_rounds() for each in self._all)
        groups = n_groups(n_columns, fewest)
        return _mean([each._groups(X, groups) for each in self._all]).astype(np.float32)

    def _groups(self, X: Floats, n_groups: int) -> Floats:
        bounds = np.linspace(0, self.n_rounds(), n_groups + 1).round().astype(int).tolist()
        groups = self._asked(lambda: self.sums(X, list(pairwise(bounds))))
        return np.concatenate([group.reshape(len(X), -1) for group in groups], axis=1, dtype=np.float64)

    def agrees(self, model: bytes, X: Floats) -> bool:
        own, theirs = (np.asarray(each).reshape(len(X), -1) for each in (self.outputs(X), self.by_owner(model, X)))
        size = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
        return own.shape == theirs.shape and np.allclose(own, theirs, _ROUNDING, _ROUNDING * size, equal_nan=True)

    def _asked(self, ask: Callable[[], Done]) -> Done:
        """Return what the library answers; what is wrong with a model may show only when it is asked.

        Raises:
            ModelError: the library refuses.
        """
        try:
            return ask()
        except ValueError as error:
            raise ModelError(f"the {self.package} model fails ({error})", "fit or import the base again") from error

    def to_arrays(self) -> Arrays:
        further = {
            _FURTHER.format(i): np.frombuffer(each.data, dtype=np.uint8) for i, each in enumerate(self.further, start=1)
        }
        own = {"classes": self.classes, "n_classes": np.array([self.n_classes])}
        return {**self.inputs.to_arrays(), **own, **further}

    @property
    def estimator(self) -> bytes:
        return self.data

    @classmethod
    def restore(cls, arrays: Arrays, estimator: bytes) -> Self:
        n_classes = stored_number(arrays, "n_classes", WHOLE)
        classes = stored_codes(arrays, "classes", n_classes, None).astype(np.int64)
        if len(set(classes.tolist())) < len(classes) or (n_classes > 0) != (len(classes) > 0):
            raise ValueError("the classes of the model are not those of the target")
        inputs, further = Inputs.from_arrays(arrays), list[Trees]()
        while (name := _FURTHER.format(len(further) + 1)) in arrays:
            data = stored(arrays, name, np.uint8, None).tobytes()
            further.append(cls(data, inputs, classes, n_classes))
        if len(further) >= MOST_BAGS or len(further) < sum(name.startswith(_FURTHER.format("")) for name in arrays):
            raise ValueError("of its models one is missing, or there are too many")
        base = cls(estimator, inputs, classes, n_classes, further=tuple(further))
        for each in base._all:
            _ = each.model  # damage shows now rather than at the first prediction
        return base

    def belongs(self, problem: Problem, width: int) -> bool:
        columns = self.inputs.columns
        inside = len(columns) > 0 and 0 <= columns.min() <= columns.max() < width
        return bool(self.n_classes == problem.n_classes and inside)

    def __getstate__(self) -> dict[str, Any]:
        # The bytes say it all: a worker opens them anew.
        return {name: value for name, value in self.__dict__.items() if name != "model"}

    @classmethod
    def adopted(
        cls, data: bytes, inputs: Inputs, table: Table, notes: Sequence[str], order: list[int] | None = None
    ) -> Self:
        """Return a model from elsewhere.

        Args:
            data: its bytes.
            inputs: what it reads.
            table: whose classes it tells apart.
            notes: how the file is read.
            order: per class of the target its position among the model's outputs, if that is another.

        Raises:
            UsageError: it predicts several numbers per row.
        """
        n_classes = len(table.classes)
        base = cls(data, inputs, np.argsort(order) if order else np.arange(n_classes), n_classes, tuple(notes))
        if base.width != base.expected_width:
            raise UsageError(
                f"the model predicts {base.width} numbers per row, and the target is one",
                "give a model of this target alone",
            )
        return base


def _different(models: Sequence[Model], X: Floats) -> list[Model]:
    """Return models without those that predict of [n, d] rows what an earlier one does: nothing of them was drawn."""
    kept, known = list[Model](), set[bytes]()
    for model in models:
        predicted = model._alone(X).tobytes() if len(models) > 1 else b""
        if predicted not in known:
            kept.append(model)
        known.add(predicted)
    return kept


def _mean(found: Sequence[Floats]) -> Floats:
    """Return the mean of [n, p] arrays: of one that array, to the last bit.

    Raises:
        ModelError: they have other shapes.
    """
    if any(each.shape != found[0].shape for each in found):
        raise ModelError("the models that a base is the mean of predict different things", "fit the base again")
    return sum_in_order(found) / len(found)


def parameters_of(wrapper: Any, problem: Problem, *, objective: str, offers: Callable[[str], bool]) -> dict[str, Any]:
    """Return the names and defaults of the parameters of a library's wrapper that are offered, and those of all.

    Args:
        wrapper: the class for scikit-learn.
        problem: of classes, probabilities are predicted whatever the objective would be.
        objective: what the library calls it.
        offers: whether a parameter is the user's business.
    """
    signature = inspect.signature(wrapper.__init__).parameters
    own = {name: parameter.default for name, parameter in signature.items() if offers(name)}
    if not problem.is_regression:
        del own[objective]
    return {**own, **SHARED}


def threads(n_rows: int) -> int:
    """Return how many threads a library may have: the least that OpenMP is limited to, and few for few rows."""
    limits = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]
    return max(1, min(min(limits, default=os.cpu_count() or 1), n_rows // ROWS_PER_THREAD))


def singles(X: Floats) -> Singles:
    """Return numbers in single precision, those beyond its range at its ends."""
    return np.clip(X, -_LARGEST_SINGLE, _LARGEST_SINGLE).astype(np.float32)


def plainly(error: Exception) -> str:
    """Return what a library's error says, without where in its source that is."""
    text = re.sub(r"^\[[\d:]+\] ", "", str(error)).strip().partition("\n")[0]
    text = re.sub(r"^\S+\.(cpp|cc|cu|h):\d+: ", "", text)
    return re.sub(r" at \S+, line \d+ ?\.$", "", text).rstrip(" .:")


def all_rounds(n_rounds: int) -> str:
    """Return what is said of a model from elsewhere of which every tree is used."""
    return f"the model predicts with all its {n_rounds:,} boosting rounds"


def refuse_outputs(outputs: Mapping[str, str], whose: str) -> None:
    """Refuse outputs that are asked for by name."""
    if outputs:
        raise UsageError(f"a model of {whose} has no named outputs", "leave --output out")


def refuse_other_task(table: Table, objective: str, n_classes: int | None) -> None:
    """Refuse a model that was trained for something else than the target.

    Args:
        table: with the target's classes.
        objective: the model's, as its library calls it.
        n_classes: how many classes it tells apart, 0 if it predicts a number, None if neither.

    Raises:
        UsageError: it was.
    """
    if n_classes is None:
        raise UsageError(
            f"the model's objective is {objective}, which gives neither a number nor probabilities",
            "write its predictions as columns and use --predictions, --probabilities or --logits",
        )
    if table.classes and not n_classes:
        raise UsageError(
            f"the model predicts a number (its objective is {objective}), and the target is a class",
            "give a classifier, or --task regression",
        )
    if n_classes and not table.classes:
        raise UsageError(
            f"the model predicts classes (its objective is {objective}), and the target is a number",
            "give a regressor, or --task classification",
        )
    if n_classes != len(table.classes):
        raise UsageError(
            f"the model knows {n_classes} classes, and the target has {len(table.classes)}",
            "check --target, or give rows of the same classes",
        )
