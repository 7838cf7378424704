"""compare: two models side by side on labelled rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data import encoding
from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema, Task
from resmem_cli.errors import UsageError
from resmem_cli.model import metrics
from resmem_cli.model.arrays import row_blocks
from resmem_cli.model.metrics import Predictions
from resmem_cli.store import reading, using
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import labelled, scores, thread_limit
from resmem_cli.workflow.drawing import GROUP, TIME, Drawing
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.scores import Judged, Sample, Scored

_ONE_QUESTION = "compare models that answer the same question"


@dataclass(frozen=True)
class ComparedModels(Judged):
    """What the rows say of two models.

    Attributes:
        a, b: their directories.
        every: all rows that were scored; of the metrics, `base` is the first model's and `resmem` the second's.
        unseen: those that neither was fitted on, if some are others.
        n_seen_by_a, n_seen_by_b: how many rows each model was fitted on.
        n_dropped: how many had no target, or no weight.
        n_unknown_class: how many had a class that training did not have, and are not scored.
        task: of both.
        objective: the metric that the folds of the first chose by, and that the verdict is about; of one without memory
            the task's usual one.
        predict_the_same: whether they predict all rows alike.
        notes: sentences on what the intervals do not know.
    """

    a: str
    b: str
    every: Sample
    unseen: Sample | None
    n_seen_by_a: int
    n_seen_by_b: int
    n_dropped: int
    n_unknown_class: int
    task: Task
    objective: str
    predict_the_same: bool
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence: which model is better, by the rows that neither has seen in fitting if these are enough."""
        if self.predict_the_same:
            return "The two models predict the same."
        if not self.judged.are_enough:
            return self._without_judgement()
        where = "" if self.unseen is None else f" on the {self.unseen.n_rows:,} unseen rows"
        judged, name = self.judged.metrics, self.objective
        compared = judged[name]
        low, high = compared.ci95
        but = scores.contradictions(judged, name)
        by = f"by {abs(compared.gain_percent):.2f} % in {name} {scores.interval(compared)}"
        if low > 0:
            return f"'{self.b}' is better than '{self.a}'{where} {by}{but}."
        if high < 0:
            return f"'{self.b}' is worse than '{self.a}'{where} {by}."
        return (
            f"'{self.b}' differs from '{self.a}'{where} in {name} {scores.change(compared)} "
            f"{scores.interval(compared)}: no evidence that either is better{but}."
        )

    def _without_judgement(self) -> str:
        change = scores.change(self.metrics[self.objective])
        differs = f"'{self.b}' differs from '{self.a}' in {self.objective} {change}"
        if self.unseen is None:
            return f"{differs}, but {self.every.lack}: compare on {self.every.needed('such')}."
        why = "every row was seen in fitting by a model"
        if self.unseen.n_rows:
            why = f"of the rows that neither has seen in fitting {self.unseen.lack}"
        return f"{differs}, but {why}: do not rely on it; compare on other rows."

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints; numbers that are not known are null."""
        every, unseen = self.every, self.unseen
        return {
            "a": self.a,
            "b": self.b,
            "rows": every.n_rows,
            "different_rows": every.n_different,
            "groups": every.n_groups if every.unit == GROUP else None,
            "times": every.n_groups if every.unit == TIME else None,
            "rows_seen_by_a": self.n_seen_by_a,
            "rows_seen_by_b": self.n_seen_by_b,
            "dropped_rows": self.n_dropped,
            "unknown_class_rows": self.n_unknown_class,
            "task": self.task.value,
            "objective": self.objective,
            "can_judge": self.judged.are_enough,
            "verdict": self.verdict,
            "metrics": scores.metrics_json(self.metrics, "a", "b"),
            "unseen": None
            if unseen is None
            else {"rows": unseen.n_rows, "metrics": scores.metrics_json(unseen.metrics, "a", "b")},
        }


def compare(
    source: Input, a: Place, b: Place, *, seed: int = 0, threads: int = 0, report: Report = silent
) -> ComparedModels:
    """Compare two models of one target on the same labelled rows; one without memory predicts by its base.

    Raises:
        DataError: the input cannot be read, does not fit the schema of both models, or holds no class that they know.
        ModelError: a model is missing, stale or damaged.
        UsageError: the models differ in target, task, classes or weights.
    """
    with thread_limit.limited(threads) as count:
        report("loading the models")
        stored = {path: reading.load_with_or_without_memory(path) for path in (a, b)}
        schema, other = (stored[path].base.schema for path in (a, b))
        _refuse_other_question(a, b, schema, other)
        first, second = (_Side.of(path, stored[path], schema, count) for path in (a, b))
        parts: list[Scored] = []
        n_seen, n_rows, n_dropped, n_foreign = np.zeros(2, dtype=np.int64), 0, 0, 0
        report("predicting")
        drawing = Drawing(*stored.values())
        also = schema.needed | other.needed | drawing.columns
        readable = replace(schema, dialect=other.dialect) if schema.dialect.writes_plainly else schema
        for batch in labelled.in_batches(source, readable, also=also):
            n_dropped, n_foreign = n_dropped + batch.n_dropped, n_foreign + batch.n_foreign
            if batch.rows is None or len(batch.y) == 0:
                continue
            (before, seen), (after, seen_too) = (side.predict(batch.rows, batch.y) for side in (first, second))
            weight = np.ones(len(batch.y)) if batch.weight is None else batch.weight
            groups = drawing.read(batch.rows)
            parts.append(Scored(batch.y, before, after, weight, seen | seen_too, batch.hashes, batch.keys, groups))
            n_seen += seen.sum(), seen_too.sum()
            n_rows += len(batch.y)
            report(f"{n_rows:,} rows")
        report("comparing")
        scored = scores.joined(parts)
        every, unseen = scores.samples(scored, seed, drawing.word, n_rows + n_dropped + n_foreign)
    return ComparedModels(
        a=str(a),
        b=str(b),
        every=every,
        unseen=unseen,
        n_seen_by_a=int(n_seen[0]),
        n_seen_by_b=int(n_seen[1]),
        n_dropped=n_dropped,
        n_unknown_class=n_foreign,
        task=schema.target.task,
        objective=stored[a].objective,
        predict_the_same=metrics.are_same(scored.first, scored.second),
        notes=(*drawing.notes, *scores.notes(scored)),
    )


@dataclass(frozen=True)
class _Side:
    """One of the models.

    Attributes:
        path, stored: the model.
        seen: hashes of the rows that it was fitted on.
        order: [classes] its position of each class of the first model, which may count numbers where this one has text;
            None of a regression.
        threads: how many may be used.
    """

    path: Place
    stored: StoredModel
    seen: NDArray[np.uint64]
    order: NDArray[np.int64] | None
    threads: int

    @classmethod
    def of(cls, path: Place, stored: StoredModel, first: Schema, threads: int) -> _Side:
        names = stored.base.schema.target.class_names
        order = np.array([names.index(name) for name in first.target.class_names]) if names else None
        return cls(path, stored, reading.seen_hashes(path, with_memory=bool(stored.id)), order, threads)

    def predict(self, rows: Rows, y: Floats) -> tuple[Predictions, NDArray[np.bool_]]:
        """Return [n, outputs] predictions, and [n] whether the model was fitted on a row of this target.

        `y`, and the order of the outputs, are those of the first model.
        """
        X = encoding.encode(rows, self.stored.base.schema)[0]
        parts = []
        for part in row_blocks(len(y), self.stored.base.problem.n_outputs):
            with using.used(self.path):
                predicted = self.stored.resmem.predict(X[part], threads=self.threads).resmem
            parts.append(metrics.reduced(y[part], predicted if self.order is None else predicted[:, self.order]))
        own = y if self.order is None else self.order[y.astype(np.int64)].astype(np.float64)
        return metrics.joined(parts), np.isin(encoding.hash_rows(X, own), self.seen)


def _refuse_other_question(a: Place, b: Place, one: Schema, other: Schema) -> None:
    """Refuse models whose predictions of a row are not of the same thing, or count differently."""
    for what, mine, its in (
        ("the target", f"'{one.target.name}'", f"'{other.target.name}'"),
        ("the task", str(one.target.task), str(other.target.task)),
        ("the weight column", _named(one.weight_column), _named(other.weight_column)),
    ):
        if mine != its:
            raise UsageError(f"{what} of '{a}' is {mine}, and that of '{b}' is {its}", _ONE_QUESTION)
    classes, others = set(one.target.class_names), set(other.target.class_names)
    for path, odd in ((a, sorted(classes - others)), (b, sorted(others - classes))):
        if odd:
            raise UsageError(
                f"'{a}' has {len(classes):,} classes and '{b}' has {len(others):,}; '{odd[0]}' is one of '{path}' only",
                _ONE_QUESTION,
            )


def _named(column: str | None) -> str:
    return "none" if column is None else f"'{column}'"
