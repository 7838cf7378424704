"""What a base model is to the rest: fitted, asked for predictions and a representation, stored, restored."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.arrays import FLOAT, WHOLE, Arrays, Floats, Integers, Singles, stored, stored_codes, stored_number
from resmem_cli.model.bases.table import Table
from resmem_cli.model.grouping import copies, copies_but_for
from resmem_cli.model.splitting import Related, Split, stopping_split

# Of the packages that bases need: the extra that installs each, where it has another name.
EXTRAS: Mapping[str, str] = {"onnxruntime": "onnx"}


@dataclass(frozen=True)
class Problem:
    """What is to be learned.

    Attributes:
        n_categories: [d] how many codes each encoded column can hold, 0 for a number.
        n_classes: how many classes the target has, 0 for regression.
        seed: what every random step starts from.
        vectors: by name, the first encoded column and the one after the last of every column that held vectors.
        levels: by the encoded column of a category of many values, how many are told apart beyond those that have a
            code there: each value has a code of its own in one more column. These follow the d columns, in this order.
        features: the encoded columns of each feature, codes of levels among them; without any, each column is one.
        related: of the rows that a base is fitted to: which belong together, and when they are from; None where those
            of equal features belong together. `Recipe.base_for` sets it for the rows at hand.

    Columns beyond these are no features: what a base elsewhere has predicted.
    """

    n_categories: tuple[int, ...]
    n_classes: int
    seed: int
    vectors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    levels: Mapping[int, int] = field(default_factory=dict)
    features: tuple[tuple[int, ...], ...] = ()
    related: Related | None = field(default=None, compare=False, repr=False)

    @property
    def is_regression(self) -> bool:
        return self.n_classes == 0

    @property
    def n_outputs(self) -> int:
        """The columns of a prediction: the number itself, or one probability per class."""
        return self.n_classes or 1

    def groups(self, X: Floats, y: Floats | None = None) -> Integers:
        """Return [n] which of [n, columns] encoded rows are copies of each other, numbered as `copies` does.

        With [n] targets also those that one feature alone tells apart.
        """
        found = None if y is None else self.copies_but_for(X, y)
        return copies(self._of_features(X)) if found is None else found[1]

    def copies_but_for(self, X: Floats, y: Floats) -> tuple[int, Integers] | None:
        """Return which feature alone tells [n, columns] encoded rows from their copies, as `grouping.copies_but_for`.

        Of classes and wide tables nobody asks: the other columns of a row would be very many to be equal in.
        """
        of_features = self._of_features(X)
        if not self.is_regression or of_features.shape[1] > cost.WIDE:
            return None
        return copies_but_for(of_features, y, self.features or [(i,) for i in range(of_features.shape[1])])

    def _of_features(self, X: Floats) -> Floats:
        return X[:, : len(self.n_categories) + len(self.levels)]

    def stopping_splits(self, X: Floats, y: Floats, n_splits: int = 1, *, first: int = 0) -> list[Split]:
        """Return positions of the rows to fit to, and of those that say when to stop, as `splitting.stopping_split`."""
        related, classes = self.relations(X), None if self.is_regression else y
        return [stopping_split(related, classes, self.seed, which) for which in range(first, first + n_splits)]

    def relations(self, X: Floats) -> Related:
        """Return which of the [n, columns] encoded rows that a base is fitted to belong together."""
        return self.related or Related(self.groups(X))

    @property
    def is_refitted(self) -> bool:
        """Whether a base that knows when to stop is fitted again to all rows: the last tenth says most of new ones."""
        return self.related is not None and self.related.times is not None


@dataclass(frozen=True)
class BaseSpec:
    """Which estimator, with which parameters of its own.

    Attributes:
        estimator: its name in the registry.
        params: by name.
        can_refit: whether it can be fitted to other rows; not if it came from elsewhere.
    """

    estimator: str
    params: Mapping[str, Any] = field(default_factory=dict)
    can_refit: bool = True


def n_models(name: str, asked: Any, most: int) -> int:
    """Return of how many models a base is to be the mean, by the parameter of that name.

    Raises:
        UsageError: it is no number of 1 to `most`.
    """
    if type(asked) is not int or not 1 <= asked <= most:
        raise UsageError(f"{name} is {asked!r}, not a whole number of 1 to {most}", "correct the --param")
    return asked


class Base(Protocol):
    """A fitted base model; what `BaseKind` says of its kind it says of itself, too."""

    @property
    def is_thread_safe(self) -> bool: ...

    @property
    def package(self) -> str | None: ...

    @property
    def stored_as(self) -> str | None: ...

    @property
    def reads_features(self) -> bool: ...

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities."""
        ...

    def represent(self, X: Floats) -> Singles | None:
        """Return [n, p] what the model computes on its way to a prediction, or None if there is no such thing."""
        ...

    # What has to be stored: arrays, and where arrays do not suffice, what `stored_as` says.
    def to_arrays(self) -> Arrays: ...

    @property
    def estimator(self) -> Any: ...

    def belongs(self, problem: Problem, width: int) -> bool:
        """Whether it reads [n, width] encoded rows of a problem, and predicts what is asked of them."""
        ...


class BaseKind(Protocol):
    """A kind of base model: how one is fitted and restored.

    Attributes:
        package: the library that it needs beyond the core, which an extra of the same name installs; None if none.
        stored_as: the suffix of the file that `estimator` is stored in; None if arrays suffice. "skops" is an
            estimator of scikit-learn's, any other suffix the bytes of the library's own format.
        reads_features: whether the prediction depends on the features, so that moving one may move it.
        is_thread_safe: whether several threads may ask one model at the same time; libraries with threads and caches of
            their own give wrong numbers then.
        encodes_targets: whether it makes statistics of the target for categories of many values by itself.
        takes_long: whether a fit takes about as long as the training of an encoder. Then few rows, too, are worth a
            process of their own; and encoders, for which it would be fitted again and again, are trained on others.
        is_constant: whether it predicts the same for every row, so that the memory has everything to explain: encoders
            learn most on it, and it never fits its training rows too well.
    """

    is_thread_safe: ClassVar[bool]
    package: ClassVar[str | None]
    stored_as: ClassVar[str | None]
    reads_features: ClassVar[bool]
    encodes_targets: ClassVar[bool]
    takes_long: ClassVar[bool]
    is_constant: ClassVar[bool]

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        """Return how long fitting to a table takes at most, by an estimate of `cost`; asked where it is wide."""
        ...

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        """The names and defaults of the parameters that `fit` takes."""
        ...

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Base:
        """Fit on [n, d] encoded rows and their [n] targets (class codes from 0 for classification).

        Raises:
            UsageError: a parameter has a value that the estimator refuses.
        """
        ...

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Base:
        """Return the base that was stored.

        Raises:
            ValueError: what is stored is damaged.
        """
        ...


@runtime_checkable
class InOnePass(Protocol):
    """A base that predicts and represents at the cost of either."""

    def predict_and_represent(self, X: Floats) -> tuple[Floats, Singles | None]:
        """Return what `predict` and `represent` return, to the last bit."""
        ...


def predict_and_represent(base: Base, X: Floats) -> tuple[Floats, Singles | None]:
    """Return what a base predicts for [n, d] encoded rows, and how it represents them."""
    if isinstance(base, InOnePass):
        return base.predict_and_represent(X)
    return base.predict(X), base.represent(X)


@runtime_checkable
class WithVariants(Protocol):
    """A base whose best settings differ between data sets so much that a few are compared."""

    @classmethod
    def variants(cls, problem: Problem, y: Floats) -> tuple[Mapping[str, Any], ...]:
        """Return parameters to compare with the defaults, for [n] targets."""
        ...


class Imported(Base, Protocol):
    """A base that came from elsewhere.

    Attributes:
        notes: sentences on how its file is read: which trees of it, which column is which.
    """

    @property
    def notes(self) -> tuple[str, ...]: ...

    def agrees(self, model: Any, X: Floats) -> bool | None:
        """Whether it predicts [n, d] rows as its library's own interface does, which is given the same file.

        None if the base itself asks that interface, so that there is nothing to compare.
        """
        ...


class Importable(BaseKind, Protocol):
    """A kind of base that can also come from elsewhere, as a file of its library's own format."""

    @classmethod
    def imported(cls, model: Any, table: Table, outputs: Mapping[str, str]) -> Imported:
        """Return a model that was trained elsewhere.

        Args:
            model: the bytes of its file, or for `stored_as` "skops" the estimator.
            table: the columns that there are, and the target's classes, empty for regression.
            outputs: which of the model's outputs is the "prediction", and which the "embedding", where a model has
                outputs of its own by name.

        Raises:
            UsageError: it needs columns that there are not, knows other classes, or predicts something else.
            ValueError: the file is damaged.
        """
        ...


class Usual:
    """What most kinds of bases say of themselves."""

    reads_features: ClassVar[bool] = True
    encodes_targets: ClassVar[bool] = False
    takes_long: ClassVar[bool] = False
    is_constant: ClassVar[bool] = False

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        return cost.bags_seconds(size)


class OfArrays(Usual):
    """What the bases have in common that need nothing but arrays."""

    is_thread_safe: ClassVar[bool] = True
    package: ClassVar[str | None] = None
    stored_as: ClassVar[str | None] = None

    @property
    def estimator(self) -> None:
        return None


class NotFitted(Usual):
    """What the bases have in common that come from elsewhere alone."""

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        raise AssertionError("an imported model is not fitted")


class FromSklearn:
    """How the bases that scikit-learn fits are asked for: our defaults, then the user's parameters."""

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        raise NotImplementedError

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        signature = inspect.signature(cls.sklearn_class(problem).__init__).parameters.values()
        own = {p.name: p.default for p in signature if p.name not in ("self", "random_state", "categorical_features")}
        return own | cls.defaults(problem)

    @classmethod
    def unfitted(cls, problem: Problem, params: Mapping[str, Any]) -> Any:
        """Return the estimator, seeded, with our defaults where `params` say nothing."""
        return cls.sklearn_class(problem)(**{**cls.defaults(problem), **params, "random_state": problem.seed})


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def library(package: str) -> Any:
    """Import a library that is an extra.

    Raises:
        UsageError: it is not installed.
    """
    if not is_installed(package):
        raise UsageError(
            f"this base needs the package {package}, which is not installed",
            f"install it: pip install 'resmem-cli[{EXTRAS.get(package, package)}]'",
        )
    return importlib.import_module(package)


@contextmanager
def fitting(params: Mapping[str, Any]) -> Iterator[None]:
    """Turn scikit-learn's refusal of the user's parameters into a sentence of ours."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Few iterations are the user's choice or our default's; the folds judge what comes of them.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        try:
            yield
        except ValueError as error:
            if not params:  # then it is not a parameter's fault
                raise
            raise UsageError(" ".join(str(error).split()).rstrip("."), "correct the --param") from error


def spread_classes(probabilities: Floats, present: Any, n_classes: int) -> Floats:
    """Place [n, m] probabilities of the classes present in training into [n, n_classes]; absent classes get 0."""
    if len(present) == n_classes:
        return np.asarray(probabilities, dtype=np.float64)
    spread = np.zeros((len(probabilities), n_classes))
    # Of one class alone the estimators still give the two columns of a binary model.
    spread[:, np.asarray(present, dtype=np.int64)] = probabilities if len(present) > 1 else 1.0
    return spread


def stored_classes(arrays: Arrays) -> tuple[int, Floats]:
    """Return how many classes there are, 0 for regression, and the [m] codes of those that training had.

    Raises:
        KeyError, ValueError: what is stored is damaged.
    """
    n_classes = stored_number(arrays, "n_classes", WHOLE)
    classes = stored(arrays, "classes", FLOAT, None)
    stored_codes(arrays, "classes", n_classes, None)
    if n_classes < 0 or (n_classes > 0) != (len(classes) > 0) or (np.diff(classes) <= 0).any():
        raise ValueError("the classes of training are not those of the target")
    return n_classes, classes


def softmax(logits: Floats) -> Floats:
    """Return exp(logits) normalised over the last axis, computed without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalised: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return normalised


def expit(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) of [n] logits as SciPy does: by the C library's exp, for NumPy's rounds otherwise."""
    most = math.log(np.finfo(np.float64).max)
    powers = np.fromiter(map(math.exp, np.minimum(-logits, most).tolist()), np.float64, len(logits))
    powers[-logits > most] = np.inf
    probabilities: Floats = 1 / (1 + powers)
    return probabilities
