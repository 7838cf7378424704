"""A fitted model in memory: all that a model directory holds, and all that the commands do with it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data import encoding, frames
from resmem_cli.data.inference import Roles
from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place, for_a_model, place
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema, Task
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.choosing.selection import Selection
from resmem_cli.model.explanation import usual_distances
from resmem_cli.model.resmem import predict_base
from resmem_cli.store import description, erasing, history, locking, manifest, ownership, reading, writing
from resmem_cli.store.generations import Past
from resmem_cli.store.history import Change
from resmem_cli.store.rows import MemoryRows, RowNames, TrainedRows
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import (
    adopt_base,
    change,
    diagnose,
    distill,
    drift,
    evaluate,
    explain,
    fit_base,
    fit_residual,
    labelled,
    measured,
    thread_limit,
)
from resmem_cli.workflow import history as take_back
from resmem_cli.workflow.adopt_base import FromObject
from resmem_cli.workflow.base_recipes import AUTO
from resmem_cli.workflow.change import Changed, Guard
from resmem_cli.workflow.diagnose import Diagnosis
from resmem_cli.workflow.distill import DistillOptions
from resmem_cli.workflow.evaluate import Evaluation
from resmem_cli.workflow.explain import Explained
from resmem_cli.workflow.fit_base import BaseOptions
from resmem_cli.workflow.history import Undone
from resmem_cli.workflow.inputs import InMemory
from resmem_cli.workflow.scoring import ScoreOptions, Scorer


class Model:
    """A fitted model: bases, their memory, and how to read rows for it.

    Made by `Model.fit` or `load`. `X` is an [n, d] array whose columns are the model's in order, or a frame: a
    DataFrame of pandas or polars, or a table of Arrow, with the model's columns by name. `threads` is how many a
    method may use, 0 for one per core.

    Attributes:
        notes: sentences on what was found in the training rows.
        selection: what the folds chose and measured; None of a loaded model, or if nothing was measured.
    """

    def __init__(self, stored: StoredModel, rows: MemoryRows | None, trained: TrainedRows | None) -> None:
        """Take what a directory holds; without `rows` and `trained` those are read from it when they are needed."""
        self._stored, self._rows, self._trained = stored, rows, trained
        self._directory: Place | None = None
        self._is_changed = False
        self._changing, self._predicting = threading.RLock(), threading.RLock()
        self._last_scorer: tuple[StoredModel | None, Scorer | None] = (None, None)
        self.notes: tuple[str, ...] = ()
        self.selection: Selection | None = None

    @classmethod
    def fit(
        cls,
        rows: Rows,
        roles: Roles,
        base: BaseOptions | FromObject,
        options: MemoryOptions,
        *,
        seed: int = 0,
    ) -> Model:
        """Fit bases (or take one over), and a memory of the same labelled rows.

        Raises:
            DataError, UsageError: as `fit_base` and `fit_residual`.
        """
        with thread_limit.limited(options.threads) as threads:
            if isinstance(base, FromObject):
                stored, trained, summary = adopt_base.adopt([rows], roles, base, seed=seed)
            else:
                stored, trained, summary = fit_base.fit([rows], roles, base, threads=threads)
            given = labelled.read(InMemory(rows), stored.schema, with_relations=True)
            resmem, kept, fitted = fit_residual.fit(given, None, stored, trained, options, threads=threads)
        folds = description.folds_json(fitted.selection, fitted.group_column, fitted.time_column)
        model = cls(StoredModel(stored, resmem, fitted.objective, folds), kept, trained)
        model._note(fitted.as_entry(None, kept), len(kept.hashes))
        model.selection = fitted.selection
        too_few = () if fitted.too_few_note is None else (fitted.too_few_note,)
        model.notes = tuple(dict.fromkeys((*summary.notes, *fitted.notes, *too_few)))
        return model

    @classmethod
    def load(cls, directory: Path | str) -> Model:
        """Load a model that the commands or `save` have written, from a directory or the URI of an object store.

        One that was distilled has no memory: it predicts, and that is all.

        Raises:
            ModelError: it is missing, stale or damaged, or has no memory yet and was not distilled.
        """
        where = place(str(directory))
        model = cls(reading.load_or_distilled(where), None, None)
        model._directory = where.absolute() if isinstance(where, Path) else where
        return model

    def __repr__(self) -> str:
        target, names = self.schema.target, ", ".join(spec.estimator for spec in self._stored.base.specs)
        return (
            f"<Model of {target.name!r}, a {target.task.value}: {names}, {len(self._stored.resmem.members)} memories>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all of the model, also what lies in a directory still."""
        if self._has_memory:
            self._complete()
        else:
            self._trained_rows()
        here = ("_changing", "_predicting", "_last_scorer")
        return {name: value for name, value in vars(self).items() if name not in here}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._changing, self._predicting = threading.RLock(), threading.RLock()
        self._last_scorer = (None, None)

    def save(self, directory: Path | str) -> None:
        """Write the model to a directory, which the commands read; a model that is there is replaced.

        Raises:
            OutputError: the directory cannot be written, or another writer is at work.
            UsageError: the directory holds other things than a model, or a memory that would be lost.
        """
        path = for_a_model(str(directory))
        ownership.refuse_foreign(path)
        if not self._has_memory:
            self._save_base(path)
            return
        stored, rows, trained = self._complete()
        with locking.alone(path, wait=False, create=True):
            base_id = writing.save_base(path, stored.base, trained)
            writing.save_memory(
                path,
                base_id,
                stored.resmem,
                rows,
                objective=stored.objective,
                folds=stored.folds,
                past=Past(stored.history),
            )

    def _save_base(self, path: Path) -> None:
        """Write a model without memory; a directory that has one would lose it."""
        trained = self._trained_rows()
        with locking.alone(path, wait=False, create=True):
            distill.refuse_memory(path, "name another directory")
            writing.save_base(path, self._stored.base, trained)

    @property
    def schema(self) -> Schema:
        """How the model reads rows."""
        return self._stored.base.schema

    @property
    def measured(self) -> dict[str, Any] | None:
        """What the folds measured, as `fit-residual --json` says it; None if nothing was measured."""
        folds: Mapping[str, Any] = self._stored.folds
        return measured.measured(folds, self._stored.objective) if folds else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """How the memory came about: an entry per change, oldest first, as `resmem history --json` says it."""
        entries = take_back.listed(self._stored.history, self._stored.kept)
        return [entry.to_json() for entry in entries]

    @property
    def uses_memory(self) -> bool:
        """Whether a prediction can differ from the base's."""
        return self._stored.resmem.uses_memory

    def score(self, batches: Iterable[Any], options: ScoreOptions | None = None, *, threads: int = 1) -> Iterator[Any]:
        """Yield every Arrow record batch with the model's predictions beside its columns.

        It depends on the batch alone, so that any engine may call it for any part of a table; a batch without rows
        gives one without rows, of the same columns and types. A table may stand for a batch: of text of more than
        2 GiB in a column it gives several.

        Args:
            batches: the record batches.
            options: which columns are passed on and added.
            threads: how many may be used for a batch. By default one, since an engine has a worker for every core.

        Raises:
            DataError: a batch does not fit the schema.
            UsageError: intervals cannot be made, or an added column has a name that is there already.
        """
        scorer = self._scorer(options or ScoreOptions())
        layout = scorer.layout(typed=True)
        for batch in batches:
            with self._alone_if_needed(), thread_limit.limited(threads) as count:
                table, *_ = scorer.score(frames.from_batch(batch), layout, count)
            yield from frames.to_batches(table)

    def score_schema(self, schema: Any, options: ScoreOptions | None = None) -> Any:
        """Return the Arrow schema of what `score` gives for batches of an Arrow schema, before there is any batch.

        Raises:
            DataError: the schema lacks a column that the model reads, or that is to be kept.
            UsageError: as `score`.
        """
        return next(self.score([schema.empty_table()], options)).schema

    def predict(self, X: Any, *, threads: int = 0, base_only: bool = False) -> Floats:
        """Return [n, 1] predicted numbers, or [n, classes] probabilities; of the base alone if that is asked.

        Raises:
            DataError: the rows do not fit the schema.
        """
        resmem = self._stored.resmem
        with self._alone_if_needed(), thread_limit.limited(threads) as count:
            encoded = self._encoded(X)
            if base_only:
                return predict_base(resmem.bases, resmem.base_weights, encoded)
            return resmem.predict(encoded, threads=count).resmem

    def predict_interval(self, X: Any, coverage: float = 0.9, *, threads: int = 0) -> NDArray[Any]:
        """Return [n, 2] lower and upper ends of prediction intervals, or [n, classes] which are in prediction sets.

        Args:
            X: the rows.
            coverage: the share of new rows whose target is to lie within, between 0 and 1.
            threads: how many may be used.

        Raises:
            DataError: the rows do not fit the schema.
            UsageError: no rows were held out when the model was fitted, or too few for this coverage.
        """
        if not 0 < coverage < 1:
            raise UsageError(f"a coverage of {coverage:g} is not between 0 and 1", "give for example 0.9")
        self._refuse_without_memory()
        resmem = self._stored.resmem
        with self._alone_if_needed(), thread_limit.limited(threads) as count:
            prediction = resmem.predict(self._encoded(X), threads=count, with_place=True)
        ends = resmem.interval(prediction, coverage)
        return np.column_stack(ends) if isinstance(ends, tuple) else ends

    def evaluate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        by: str | Sequence[str] = (),
        coverage: float | None = None,
        seed: int = 0,
        threads: int = 0,
    ) -> Evaluation:
        """Compare the base with and without the memory on labelled rows, as the command does.

        Args:
            X: the rows. A frame may have other columns, by which the gain can be sliced.
            y: their targets.
            sample_weight: of the rows; 1 each if they have none.
            groups: that they belong to, drawn whole for the intervals; by default the column of X that the model was
                fitted with, if it is there.
            by: columns (or one) by whose values the gain is given, too, or "auto".
            coverage: of prediction intervals that are to be checked, between 0 and 1.
            seed: of the bootstrap.
            threads: how many may be used.

        Raises:
            DataError: the rows do not fit the schema, or cannot be sliced.
            UsageError: intervals cannot be made; or weights are given and the model was fitted without, or the other
                way round.
        """
        stored, seen, rows, name = self._evaluated(X, y, sample_weight, groups)
        by = [by] if isinstance(by, str) else by
        with self._alone_if_needed(), thread_limit.limited(threads) as count:
            predict = partial(stored.resmem.predict, threads=count, with_place=coverage is not None)
            return evaluate.of_rows(
                InMemory(rows), stored, seen, predict, seed=seed, interval=coverage, by=by, groups=name
            ).evaluation

    def diagnose(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        by: str | Sequence[str] = "auto",
        seed: int = 0,
        threads: int = 0,
    ) -> Diagnosis:
        """Return what `resmem report` draws: an evaluation and what explains it; the arguments are those of `evaluate`.

        Raises:
            DataError, UsageError: as `evaluate`.
        """
        stored, seen, rows, name = self._evaluated(X, y, sample_weight, groups)
        by, names = [by] if isinstance(by, str) else by, self._row_names()
        with self._alone_if_needed(), thread_limit.limited(threads) as count:
            usual = usual_distances(stored.resmem.members[0].memory, threads=count)
            predict = partial(stored.resmem.predict, threads=count, with_place=True)
            return diagnose.of_rows(
                InMemory(rows), stored, names, seen, predict, usual=usual, seed=seed, by=by, threads=count, groups=name
            )

    def _evaluated(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[StoredModel, NDArray[np.uint64], Rows, str | None]:
        """Return the model, the hashes of rows that it has seen, labelled rows, and their column of groups, if any."""
        stored, remembered, trained = self._complete()
        rows, name = self.labelled_rows(X, y, sample_weight, with_ids=False), None
        if groups is not None:
            name = frames.free("groups", rows.table.column_names)
            rows = frames.to_rows(rows.table, more={name: groups})
        return stored, np.union1d(remembered.hashes, trained.hashes), rows, name

    def _row_names(self) -> RowNames:
        stored, rows, _ = self._complete()
        members = stored.resmem.members
        return RowNames(tuple(m.memory.contents.cells for m in members if m.memory.contents), rows.ids)

    def explain(self, X: Any, *, top: int = 10, threads: int = 0) -> list[Explained]:
        """Return why each row is predicted as it is: the remembered rows that moved it most.

        Raises:
            DataError: the rows do not fit the schema.
        """
        stored, names = self._complete()[0], self._row_names()
        with self._alone_if_needed(), thread_limit.limited(threads) as count:
            usual = usual_distances(stored.resmem.members[0].memory, threads=count)
            every, explained = self._rows_of(X), list[Explained]()
            for start in range(0, len(every), explain.ROWS_AT_ONCE):
                positions = np.arange(start, min(start + explain.ROWS_AT_ONCE, len(every)))
                numbers = (positions + 1).tolist()
                explained += explain.explain_rows(
                    every.take(positions), stored, names, usual, numbers=numbers, top=top, threads=count
                )
        return explained

    def distill(
        self, X: Any, *, estimator: str = AUTO, params: Mapping[str, Any] | None = None, threads: int = 0
    ) -> Model:
        """Return a model without memory that has learned what this one predicts, as `resmem distill` does.

        It predicts without a search among neighbours; `save` and `load` keep it.

        Args:
            X: rows, such as those that this model was fitted on; others are made from them.
            estimator: names of the bases that learn, separated by commas, or "auto".
            params: parameters of these bases by name.
            threads: how many may be used.

        Raises:
            DataError: the rows do not fit the schema.
            UsageError: an estimator or a parameter is wrong, or the base of this model is columns of the input.
        """
        distill.refuse_columns(self.schema, self)
        stored, remembered, trained = self._complete()
        known, options = trained.with_remembered(remembered), DistillOptions(estimator, params or {})
        with self._alone_if_needed(), thread_limit.limited(threads) as count:

            def predict(encoded: Floats) -> Floats:
                return stored.resmem.predict(encoded, threads=count).resmem

            base, _ = distill.fit(self._encoded(X), stored.base, known, predict, options, threads=count)
        return Model(StoredModel.of_base(base), None, known)

    def remember(
        self, rows: Rows, *, max_residual: float | None = None, force: bool = False, threads: int = 0
    ) -> Changed:
        """Add labelled rows to the memory; where rows have ids, those replace remembered rows of the same id.

        Args:
            rows: the rows.
            max_residual: how large a residual may be, in the target's units; by default 100 times the 99.9 %
                quantile of those that are remembered.
            force: whether any residual may be remembered.
            threads: how many may be used.

        Returns:
            What became of the memory; its `drift` says how the model predicted the rows before it remembered them.

        Raises:
            DataError: the rows do not fit the schema, or have residuals that cannot be right.
            UsageError: a bound for residuals is given for classes.
        """
        with self._changing, self._alone_if_needed(), thread_limit.limited(threads) as count:
            stored, remembered, trained = self._complete()
            if max_residual is not None and not max_residual >= 0:
                raise UsageError(f"max_residual is {max_residual}", "give a number of 0 or more")
            drift.refuse_bound_of_classes(stored, max_residual)
            given, guard = labelled.read(InMemory(rows), self.schema), Guard(max_residual, force)
            # Graphs grow in place: others predict with these meanwhile, and an interrupted change must leave them.
            copied = stored._replace(resmem=stored.resmem.copied())
            resmem, kept, changed = change.with_rows(copied, remembered, trained, given, guard=guard, threads=count)
            self._keep(stored._replace(resmem=resmem), kept, trained)
            self._note(change.as_entry(changed), changed.n_rows)
        return changed

    def forget(self, *, ids: Sequence[str] = (), rows: Rows | None = None, threads: int = 0) -> Changed:
        """Remove rows from the memory and from all that is known of the rows that trained the base.

        Args:
            ids: of the rows.
            rows: or the labelled rows themselves.
            threads: how many may be used.

        Raises:
            DataError: none of them is remembered.
            UsageError: rows have no ids, or nothing else is remembered.
        """
        with self._changing, thread_limit.limited(threads) as count:
            stored, remembered, trained = self._complete()
            if len(ids) and remembered.ids is None:
                raise UsageError("the rows of this model have no ids", "give the rows themselves, or fit with ids")
            source = None if rows is None else InMemory(rows)
            matched = change.find(self.schema, [remembered], trained, ids=list(map(str, ids)), rows=source)
            if not matched.are_any:
                was_measured = any(entry["measured"] is not None for entry in stored.history)
                self._stored = stored._replace(history=history.unmeasured(stored.history))
                self._is_changed |= was_measured
                raise change.not_remembered(matched, was_measured=was_measured)
            resmem, left, changed = change.without_rows(stored, remembered, matched, threads=count)
            gone = remembered.take(matched.remembered[0])
            base, trained = erasing.forgotten(stored.base, trained, matched.trained, gone=[gone], left=[left])
            self._keep(stored._replace(base=base, resmem=resmem), left, trained)
            self._note(change.as_entry(changed), changed.n_rows)
        return changed

    def undo(self) -> Undone:
        """Go back to the memory before the last fit-residual or remember in the model's directory, and load that.

        A forget is not taken back.

        Returns:
            What became of the memory.

        Raises:
            ModelError: the directory is damaged, or was written since.
            OutputError: it cannot be written, or another writer is at work.
            UsageError: the model has changes of its own, or no earlier memory is kept.
        """
        self._refuse_without_memory()
        with self._changing:
            if not isinstance(self._directory, Path) or self._is_changed:
                raise UsageError(
                    "this model is not what a directory holds, so that undo has nothing to go back to",
                    "load the model again to drop its changes",
                )
            undone = take_back.undo(self._directory, expected=(self._stored.base.id, self._stored.id))
            self._stored, self._rows, self._trained = reading.load(self._directory), None, None
        return undone

    def labelled_rows(
        self, X: Any, y: Any, sample_weight: Any = None, ids: Any = None, *, with_ids: bool = True
    ) -> Rows:
        """Return labelled rows as the model reads them; without ids if they are not to be remembered.

        Raises:
            DataError: X holds the target.
            UsageError: ids or weights are given and the model was fitted without, or the other way round.
        """
        schema = self.schema
        table = frames.to_rows(X, schema.names).table
        if schema.target.name in table.column_names:
            raise DataError(f"X holds the target '{schema.target.name}'", "drop it")
        id_column = schema.id_column if with_ids else None
        for what, values, name in (("ids", ids, id_column), ("weights", sample_weight, schema.weight_column)):
            if (values is None) != (name is None):
                if name is not None:
                    raise UsageError(f"the model was fitted with {what}, and these rows have none", f"give {what}")
                raise UsageError(f"the model was fitted without {what}", f"leave {what} out, or fit with {what}")
        more = {schema.target.name: y, id_column: ids, schema.weight_column: sample_weight}
        return frames.to_rows(table, None, {name: values for name, values in more.items() if name is not None})

    @cached_property
    def classes(self) -> NDArray[Any]:
        """[classes] the class labels, sorted; empty of a regression."""
        target = self.schema.target
        return np.array(target.labels.to_pylist()) if target.task is Task.CLASSIFICATION else np.empty(0)

    def _rows_of(self, X: Any) -> Rows:
        return frames.to_rows(X, self.schema.names)

    def _encoded(self, X: Any) -> Floats:
        return encoding.encode(self._rows_of(X), self.schema)[0]

    def _complete(self) -> tuple[StoredModel, MemoryRows, TrainedRows]:
        """Return the model with what is kept of its rows, which is read now if it was loaded without."""
        self._refuse_without_memory()
        if self._rows is not None and self._trained is not None:
            return self._stored, self._rows, self._trained
        if self._directory is None:
            raise ValueError("a model that was not loaded has its rows")
        with locking.alone(self._directory, wait=True) if isinstance(self._directory, Path) else nullcontext():
            stored, rows = reading.load_for_change(self._directory)
            trained = reading.trained_rows(self._directory)
        if (stored.base.id, stored.id) != (self._stored.base.id, self._stored.id):
            raise take_back.written_since(self._directory)
        self._keep(stored, rows, trained)
        return stored, rows, trained

    def _trained_rows(self) -> TrainedRows:
        """Return what is kept of the rows that trained the bases of a model without memory."""
        if self._trained is None:
            if self._directory is None:
                raise ValueError("a model that was not loaded has its rows")
            if reading.identity(self._directory, base_only=True)[0] != self._stored.base.id:
                raise take_back.written_since(self._directory)
            self._trained = reading.trained_rows(self._directory)
        return self._trained

    @property
    def _has_memory(self) -> bool:
        return len(self._stored.resmem.members) > 0

    def _refuse_without_memory(self) -> None:
        if not self._has_memory:
            raise UsageError(
                "this model was distilled: it has no memory, and predicts alone", "use the model that it learned from"
            )

    def _scorer(self, options: ScoreOptions) -> Scorer:
        """Return the scorer of these options; the last one again while it holds, since engines ask once per batch.

        What support is measured against takes longer to find than a small batch to predict.
        """
        stored, last = self._last_scorer
        if not self._has_memory:
            if options.with_support or options.interval is not None:
                self._refuse_without_memory()
            options = replace(options, base_only=True)
        if last is None or stored is not self._stored or last.options != options:
            last = Scorer.of(self._stored.base, self._stored.resmem, options)
            self._last_scorer = self._stored, last
        return last

    def _alone_if_needed(self) -> AbstractContextManager[Any]:
        """Hold others off where a base may not be asked by several threads at the same time."""
        return nullcontext() if self._stored.base.is_thread_safe else self._predicting

    def _note(self, entry: Change, n_rows: int) -> None:
        """Add a change to the history, after which there are so many rows."""
        entries = history.extended(self._stored.history, entry, made=manifest.now(), n_rows=n_rows)
        self._stored, self._is_changed = self._stored._replace(history=entries, kept=frozenset()), True

    def _keep(self, stored: StoredModel, rows: MemoryRows, trained: TrainedRows) -> None:
        self._stored, self._rows, self._trained = stored, rows, trained
