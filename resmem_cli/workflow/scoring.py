"""Scoring: a pure function of a batch of rows, which predict maps over a table and other engines over theirs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resmem_cli.data import encoding, predictions
from resmem_cli.data.encoding import Surprises
from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.data.predictions import Layout, Scored
from resmem_cli.data.rows import Rows
from resmem_cli.errors import UsageError
from resmem_cli.model import conformal, explanation
from resmem_cli.model.resmem import ResMem, predict_base
from resmem_cli.store import using
from resmem_cli.store.stored import StoredBase


@dataclass(frozen=True)
class ScoreOptions:
    """What is written of the predictions.

    Attributes:
        keep: "all", "none", "id", or the names of the input's columns to pass on.
        prefix: put before every column that is added.
        with_probabilities: whether every class gets a column.
        with_support: whether a column says how far each row is from what is remembered.
        interval: the coverage of prediction intervals, or of prediction sets of classes; None for none.
        base_only: whether to predict with the base alone.
    """

    keep: str | Sequence[str] = "all"
    prefix: str = ""
    with_probabilities: bool = False
    with_support: bool = False
    interval: float | None = None
    base_only: bool = False


@dataclass(frozen=True)
class Scorer:
    """A model and what to write of its predictions.

    Attributes:
        base: the bases with their schema.
        resmem: the model; None to predict with the base alone.
        options: what to write.
        usual_distances: that support is measured against, if it is asked for.
        directory: that the model was loaded from, so that damage shows by name; None of a model in memory.
    """

    base: StoredBase
    resmem: ResMem | None
    options: ScoreOptions = field(default_factory=ScoreOptions)
    usual_distances: Floats | None = None
    directory: Place | None = None

    @classmethod
    def of(cls, base: StoredBase, resmem: ResMem, options: ScoreOptions, directory: Place | None = None) -> Scorer:
        """Return the scorer of a model, or of its base alone if the options say so.

        Raises:
            UsageError: intervals of this coverage cannot be made.
        """
        if options.base_only:
            return cls.of_base(base, options, directory)
        if options.interval is not None:
            conformal.sufficient(resmem.calibration, options.interval)
        usual = explanation.usual_distances(resmem.members[0].memory) if options.with_support else None
        return cls(base, resmem, options, usual, directory)

    @classmethod
    def of_base(cls, base: StoredBase, options: ScoreOptions, directory: Place | None = None) -> Scorer:
        """Return the scorer of the base alone.

        Raises:
            UsageError: something is asked for that only a memory can tell.
        """
        if options.with_support or options.interval is not None:
            raise UsageError(
                "--support and --interval need the memory, which --base-only leaves out",
                "leave them out, or --base-only",
            )
        return cls(base, None, options, None, directory)

    @property
    def is_thread_safe(self) -> bool:
        """Whether batches may be scored side by side."""
        return self.base.is_thread_safe

    def layout(self, *, typed: bool) -> Layout:
        """Return which columns the output has; `typed` says whether it has types, as text formats have not."""
        options = self.options
        return Layout(
            self.base.schema,
            options.keep,
            options.prefix,
            options.with_probabilities,
            self.resmem is None,
            typed=typed,
            with_support=options.with_support,
            with_interval=options.interval is not None,
        )

    def score(self, batch: Rows, layout: Layout, threads: int = 1) -> tuple[Any, Surprises, Scored]:
        """Return the output table of a batch, what was odd in its values, and the predictions themselves.

        Raises:
            DataError: the batch does not fit the schema.
            UsageError: an added column has a name that is there already.
        """
        X, surprises = encoding.encode(batch, self.base.schema)
        with nullcontext() if self.directory is None else using.used(self.directory):
            scored = self.predict(X, threads) if len(X) else self._nothing()
        surprises.not_finite = int((~np.isfinite(scored.resmem).all(axis=1)).sum())
        return predictions.lay_out(batch, layout, scored), surprises, scored

    def predict(self, X: Floats, threads: int = 1) -> Scored:
        """Return the predictions of [n, d] encoded rows, with intervals and support if they are asked for."""
        if self.resmem is None:
            base = predict_base(self.base.bases, self.base.weights, X)
            return Scored(base, base)
        coverage, usual = self.options.interval, self.usual_distances
        predicted = self.resmem.predict(X, threads=threads, with_place=coverage is not None or usual is not None)
        interval = None if coverage is None else self.resmem.interval(predicted, coverage)
        support = None
        if usual is not None and predicted.distance is not None:
            support = explanation.percentiles(predicted.distance, usual)
        return Scored(predicted.base, predicted.resmem, interval, support)

    def _nothing(self) -> Scored:
        """Return the predictions of no rows, which libraries refuse to make."""
        n_outputs, ends = self.base.problem.n_outputs, np.empty(0)
        none: Floats = np.empty((0, n_outputs))
        interval = (ends, ends) if self.base.problem.is_regression else np.empty((0, n_outputs), dtype=np.bool_)
        return Scored(
            none,
            none,
            None if self.options.interval is None else interval,
            None if self.usual_distances is None else ends,
        )
