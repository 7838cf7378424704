"""The base that is somewhere else: its predictions are columns of every input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from resmem_cli.model.arrays import WHOLE, Arrays, Floats, Singles, stored, stored_number
from resmem_cli.model.bases.protocol import NotFitted, OfArrays, Problem, softmax

Form = Literal["predictions", "probabilities", "logits"]
FORMS: tuple[Form, ...] = ("predictions", "probabilities", "logits")


@dataclass(frozen=True)
class Columns(OfArrays, NotFitted):
    """What another model has written.

    Attributes:
        form: predictions are numbers; probabilities and logits have one column per class, or of two classes one
            column of the second.
        start, stop: the encoded columns that hold them.
        embedding: the first encoded column and the one after the last of what that model computes, or None.
    """

    reads_features: ClassVar[bool] = False

    form: Form
    start: int
    stop: int
    embedding: tuple[int, int] | None = None

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities: normalised, those of logits by softmax."""
        given = X[:, self.start : self.stop]
        if self.form == "predictions":
            return np.array(given)
        if self.form == "logits":
            return softmax(given if given.shape[1] > 1 else np.hstack([np.zeros_like(given), given]))
        positive = np.maximum(given if given.shape[1] > 1 else np.hstack([1 - given, given]), 0.0)
        total = positive.sum(axis=1, keepdims=True)
        normalised: Floats = np.where(total > 0, positive / np.where(total > 0, total, 1), 1 / positive.shape[1])
        return normalised

    def represent(self, X: Floats) -> Singles | None:
        if self.embedding is None:
            return None
        return X[:, slice(*self.embedding)].astype(np.float32)

    def to_arrays(self) -> Arrays:
        return {
            "form": np.array([FORMS.index(self.form)]),
            "columns": np.array([self.start, self.stop]),
            "embedding": np.array(self.embedding or (), dtype=np.int64),
        }

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        start, stop = stored(arrays, "columns", WHOLE, 2).tolist()
        embedding = stored(arrays, "embedding", WHOLE, None).tolist()
        form = stored_number(arrays, "form", WHOLE)
        if form not in range(len(FORMS)) or len(embedding) not in (0, 2):
            raise ValueError("its columns are of no known form")
        return cls(FORMS[form], start, stop, (embedding[0], embedding[1]) if embedding else None)

    def belongs(self, problem: Problem, width: int) -> bool:
        n_columns, n_outputs = self.stop - self.start, problem.n_outputs
        first, last = self.embedding or (0, 1)
        return (
            (self.start, self.stop) == (len(problem.n_categories), width)
            and (self.form == "predictions") == problem.is_regression
            and n_columns in ((n_outputs, 1) if n_outputs == 2 else (n_outputs,))
            and 0 <= first < last <= len(problem.n_categories)
        )
