"""A model in the ONNX format, which onnxruntime runs: whatever framework trained it, it is a graph of operators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases.columns import FORMS, Columns
from resmem_cli.model.bases.onnx.inputs import Feed, fill, run, said_of
from resmem_cli.model.bases.onnx.outputs import Answer, chosen, probe
from resmem_cli.model.bases.onnx.session import Session, refuse_several_files
from resmem_cli.model.bases.protocol import NotFitted, Problem
from resmem_cli.model.bases.table import Table


@dataclass(frozen=True)
class Onnx(NotFitted):
    """A model that onnxruntime runs.

    Attributes:
        session: the model.
        table: the columns, and the target's classes.
        feeds: of every input.
        n_at_once: how many rows the model takes at once, no more and no fewer; 0 if any number.
        answer: what its outputs are.
        notes: of a model that is imported, how it is read.
    """

    is_thread_safe: ClassVar[bool] = True
    package: ClassVar[str | None] = "onnxruntime"
    stored_as: ClassVar[str | None] = "onnx"

    session: Session
    table: Table
    feeds: tuple[Feed, ...]
    n_at_once: int
    answer: Answer
    notes: tuple[str, ...] = ()

    @classmethod
    def imported(cls, model: bytes, table: Table, outputs: Mapping[str, str]) -> Self:
        """Return a model that was trained elsewhere; `Importable` says what is raised.

        `outputs` may also name the prediction as "probabilities" or "logits", which then is not guessed. Of a single
        number for two classes, that is the second one's.
        """
        refuse_several_files(model)
        session = Session(model)
        feeds, n_at_once = fill(session.running.get_inputs(), table)
        found = probe(session, feeds, n_at_once, table)
        return cls(session, table, feeds, n_at_once, chosen(found, table, outputs), said_of(feeds))

    def agrees(self, model: bytes, X: Floats) -> None:
        return None

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities.

        Raises:
            DataError: an input takes no such value as a row has, or the prediction is no finite number.
        """
        answer, n_classes = self.answer, len(self.table.classes)
        if len(X) == 0:
            return np.empty((0, n_classes or 1))
        values = self._output(answer.output, len(answer.order) or 1, X)
        if answer.form == "logits":
            values = np.maximum(values, np.finfo(np.float64).min)  # -inf is the logit of probability 0
        if answer.order:
            values = values[:, list(answer.order)]
        _refuse_infinite(values)
        return Columns(answer.form, 0, values.shape[1]).predict(values)

    def represent(self, X: Floats) -> Singles | None:
        """Return [n, p] the output that the user named as the embedding, flattened."""
        answer = self.answer
        if answer.embedding is None:
            return None
        if len(X) == 0:
            return np.empty((0, answer.n_embedded), np.float32)
        with np.errstate(over="ignore"):
            values = self._output(answer.embedding, answer.n_embedded, X).astype(np.float32)
        _refuse_infinite(values)
        return values

    def _output(self, name: str, width: int, X: Floats) -> Floats:
        (values,) = run(self.session, self.feeds, self.n_at_once, [name], X)
        if values.shape[1] != width:
            raise UsageError(f"the output '{name}' has {values.shape[1]} numbers in a row, and {width} in others")
        return values.astype(np.float64)

    def to_arrays(self) -> Arrays:
        answer = json.dumps(asdict(self.answer)).encode()
        return {"table": self.table.to_array(), "answer": np.frombuffer(answer, np.uint8)}

    @property
    def estimator(self) -> bytes:
        return self.session.data

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        refuse_several_files(estimator)
        table, session = Table.from_array(arrays["table"]), Session(estimator)
        answer = Answer.from_json(json.loads(arrays["answer"].tobytes()))
        feeds, n_at_once = fill(session.running.get_inputs(), table)
        used, n_classes = {answer.output, answer.embedding} - {None}, len(table.classes)
        if (
            answer.form not in FORMS
            or not used <= {each.name for each in session.running.get_outputs()}
            or sorted(answer.order) not in (list(range(n_classes)), [] if n_classes == 2 else None)
        ):
            raise ValueError("the model lacks an output that it was imported with")
        return cls(session, table, feeds, n_at_once, answer)

    def belongs(self, problem: Problem, width: int) -> bool:
        return self.table.belongs(problem.n_classes, width)


def _refuse_infinite(values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise DataError(
            "the ONNX model predicts a value that is not finite",
            "impute missing values as in its training, or leave the row out",
        )
