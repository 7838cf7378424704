"""scikit-learn's multi-layer perceptron with early stopping; only its weights are kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import threadpoolctl

from resmem_cli.model import cost
from resmem_cli.model.arrays import FLOAT, SINGLE, WHOLE, Arrays, Floats, Integers, Singles, stored, stored_number
from resmem_cli.model.bases.protocol import (
    FromSklearn,
    OfArrays,
    Problem,
    fitting,
    softmax,
    spread_classes,
    stored_classes,
)
from resmem_cli.model.scaling import Scaler, mean_and_std
from resmem_cli.model.splitting import Split

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "logistic": lambda z: np.exp(-np.logaddexp(0.0, -z)),
    "identity": lambda z: z,
}
_ACTIVATION_CODES = tuple(_ACTIVATIONS)


def _can_hold_out(y: Floats, problem: Problem) -> bool:
    """Whether a tenth of the rows, with every class in it and left over, can be held out to stop by."""
    if problem.is_regression:
        return len(y) >= 20
    counts = np.bincount(y.astype(np.int64))
    present = counts[counts > 0]
    return bool(present.min() >= 2 and len(y) >= 10 * len(present))


def _stopped_by(
    network: Any, X: Singles, target: Floats, weight: Floats | None, split: Split, *, is_refitted: bool
) -> Any:
    """Fit a network, stopped by some of the rows as scikit-learn stops it by a tenth that it draws itself.

    That tenth may hold copies of rows that it is fitted to, and then says nothing of when to stop. If it is to be
    refitted, it is then trained as long on all rows.
    """
    kept, held = split
    of_held = None if weight is None else weight[held]
    network.set_params(early_stopping=False)  # which fitting epoch by epoch refuses
    start = copy.deepcopy(network)
    best, best_score, best_epoch, n_without = network, -np.inf, 1, 0
    for epoch in range(network.max_iter):
        _train_an_epoch(network, X, target, weight, kept)
        score = network.score(X[held], target[held], sample_weight=of_held)
        n_without = 0 if score > best_score + network.tol else n_without + 1
        if score > best_score:
            best, best_score, best_epoch = copy.deepcopy(network), score, epoch + 1
        if n_without > network.n_iter_no_change:
            break
    if not is_refitted:
        return best
    for _ in range(best_epoch):
        _train_an_epoch(start, X, target, weight, np.arange(len(target)))
    return start


def _train_an_epoch(network: Any, X: Singles, target: Floats, weight: Floats | None, rows: Integers) -> None:
    classes = {"classes": np.unique(target)} if hasattr(network, "predict_proba") else {}
    network.partial_fit(X[rows], target[rows], **classes, sample_weight=None if weight is None else weight[rows])


@dataclass(frozen=True)
class Mlp(OfArrays, FromSklearn):
    """A network on normal scores of the features, its regression target standardised.

    Attributes:
        scaler: the features it reads.
        weights, biases: per layer [inputs, outputs] and [outputs].
        activation: of the hidden layers.
        target_scale: [mean, standard deviation] of the regression target in training.
        classes: [m] codes of the classes that training had; empty for regression.
        n_classes: 0 for regression.
    """

    scaler: Scaler
    weights: tuple[Singles, ...]
    biases: tuple[Singles, ...]
    activation: str
    target_scale: Floats
    classes: Floats
    n_classes: int

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        return {
            "hidden_layer_sizes": (128, 64),
            "early_stopping": True,
            "n_iter_no_change": 10,
            "max_iter": 200,
            "learning_rate_init": 1e-3,
            "alpha": 1e-4,
        }

    @classmethod
    def seconds_to_fit(cls, size: cost.Size) -> float:
        return cost.network_seconds(size)

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        # The other losses are for counts, which a standardised target does not hold.
        return {name: value for name, value in super().parameters(problem).items() if name != "loss"}

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        return MLPRegressor if problem.is_regression else MLPClassifier

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        scaler = Scaler.fit(X, problem.n_categories, "normal", weight)
        mean, std = mean_and_std(y, weight) if problem.is_regression else (0.0, 1.0)
        scale = np.array([mean, std or 1.0])
        target = (y - scale[0]) / scale[1] if problem.is_regression else y
        network = cls.unfitted(problem, params)
        if not _can_hold_out(y, problem):
            network.set_params(early_stopping=False)
        (split,) = problem.stopping_splits(X, y)
        # scikit-learn's own early stopping does not know which rows belong together.
        are_related = not problem.relations(X).are_none
        is_ours = network.early_stopping and network.solver != "lbfgs" and are_related
        has_split = all(len(rows) for rows in split)
        if are_related and not has_split:
            network.set_params(early_stopping=False)
        # Batches of 200 rows gain little from a second thread, and lose much where other programs want the cores.
        alone = threadpoolctl.threadpool_limits(1) if len(problem.n_categories) > cost.WIDE else nullcontext()
        with fitting(params), alone:
            features = scaler.transform(X)
            if is_ours and has_split:
                fitted = _stopped_by(network, features, target, weight, split, is_refitted=problem.is_refitted)
            else:
                fitted = network.fit(features, target, sample_weight=weight)
        return cls(
            scaler,
            tuple(np.asarray(layer, dtype=np.float32) for layer in fitted.coefs_),
            tuple(np.asarray(layer, dtype=np.float32) for layer in fitted.intercepts_),
            fitted.activation,
            scale,
            np.empty(0) if problem.is_regression else fitted.classes_.astype(np.float64),
            problem.n_classes,
        )

    def predict(self, X: Floats) -> Floats:
        out = self._hidden(X) @ self.weights[-1] + self.biases[-1]
        if not self.n_classes:
            scaled: Floats = out * self.target_scale[1] + self.target_scale[0]
            return scaled
        if out.shape[1] == 1:  # the binary network has one output, the logit of its second class
            out = np.hstack([np.zeros_like(out), out])
        return spread_classes(softmax(out), self.classes, self.n_classes)

    def represent(self, X: Floats) -> Singles:
        """Return the last hidden layer, the paper's choice."""
        return self._hidden(X).astype(np.float32)

    def _hidden(self, X: Floats) -> Floats:
        # In double precision, because equal rows must become equal single-precision representations: a matrix
        # product's last bit depends on where in the batch a row stands.
        hidden = self.scaler.transform(X).astype(np.float64)
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = _ACTIVATIONS[self.activation](hidden @ weights + biases)
        return hidden

    def to_arrays(self) -> Arrays:
        layers = {f"weights_{i}": layer for i, layer in enumerate(self.weights)}
        layers |= {f"biases_{i}": layer for i, layer in enumerate(self.biases)}
        return {
            **self.scaler.to_arrays(),
            **layers,
            "activation": np.array([_ACTIVATION_CODES.index(self.activation)]),
            "target_scale": self.target_scale,
            "classes": self.classes,
            "n_classes": np.array([self.n_classes]),
        }

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        scaler, n_classes, classes = Scaler.from_arrays(arrays), *stored_classes(arrays)
        weights, biases, width = [], [], scaler.n_outputs
        for i in range(sum(name.startswith("weights_") for name in arrays)):
            weights.append(stored(arrays, f"weights_{i}", SINGLE, width, None))
            width = weights[-1].shape[1]
            biases.append(stored(arrays, f"biases_{i}", SINGLE, width))
        activation = stored_number(arrays, "activation", WHOLE)
        if sum(name.startswith("biases_") for name in arrays) != len(weights):
            raise ValueError("a layer of it is missing")
        if not weights or width != (len(classes) if len(classes) > 2 else 1):
            raise ValueError("its last layer does not fit its classes")
        if activation not in range(len(_ACTIVATION_CODES)):
            raise ValueError(f"it has the unknown activation {activation}")
        scale = stored(arrays, "target_scale", FLOAT, 2)
        return cls(scaler, tuple(weights), tuple(biases), _ACTIVATION_CODES[activation], scale, classes, n_classes)

    def belongs(self, problem: Problem, width: int) -> bool:
        return (self.scaler.n_categories, self.n_classes) == (problem.n_categories, problem.n_classes)
