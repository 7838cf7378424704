"""The child process of `trial`: it reads what may be damaged, predicts a few rows, and says how that went."""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.errors import DataError, ModelError, ResmemError, UsageError
from resmem_cli.model import bases
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import Base, Problem, importing
from resmem_cli.model.bases.protocol import library
from resmem_cli.store import estimators, manifest, reading
from resmem_cli.store.trial import File, Limits

_FIRST_ROWS, _GROWTH = 16, 4  # so many rows at first, and so many times as many then
_MOST_SECONDS = 1.5  # of the processor, for all of them
_N_MADE_UP = 64
_AGAIN = "run fit-base again"


def main() -> None:
    """Do the one job that standard input holds, and write how it went to standard output as JSON."""
    answer_to = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what libraries say there is no answer
    job, limits = pickle.load(sys.stdin.buffer)  # noqa: S301 - of our own process
    answer = _done(job, limits)
    with os.fdopen(answer_to, "w") as stream:
        json.dump(answer, stream)
        stream.flush()
        os._exit(0)  # whatever a library would do at its end


def _done(job: tuple[str, Any], limits: Limits) -> dict[str, Any]:
    kind, given = job
    try:
        if kind == "directory":
            _load_directory(given, limits)
            return {"notes": []}
        return {"notes": _import_file(given, limits)}
    except ResmemError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def _import_file(file: File, limits: Limits) -> list[str]:
    name, is_skops = f"'{file.name}'", file.kind == importing.SKOPS
    kind = bases.IMPORTABLE[importing.SKLEARN if is_skops else file.kind]
    if is_skops:
        import skops.io  # noqa: F401 - before the limits, as the library
    elif kind.package is not None:
        library(kind.package)
    _hold_to(limits)
    with _refused_as(DataError, f"{name} cannot be read as a model", "check the file"):
        given = estimators.from_foreign(file.data, file.name) if is_skops else file.data
        base = kind.imported(given, file.table, file.outputs)
        stored = base.estimator
        if is_skops:  # as it will be read from the model directory
            stored = estimators.from_bytes(estimators.to_bytes(stored), file.name)
        kind.restore(base.to_arrays(), stored)
        with suppress(DataError):  # embeddings are not used yet
            base.represent(file.X[:_FIRST_ROWS])
        n_rows = 0
        for X in _growing(file.X):
            base.predict(X)
            n_rows += len(X)
        agrees = base.agrees(given, file.X[:n_rows])
    if agrees is False:
        raise DataError(
            f"the predictions of {name} differ from those of {kind.package}'s own predict",
            "write the model's predictions as columns instead (--predictions or --probabilities)",
        )
    agreement = f"its predictions on {n_rows:,} of these rows equal those of {kind.package}'s own predict"
    return [*base.notes, *([agreement] if agrees else [])]


def _load_directory(directory: Path, limits: Limits) -> None:
    content = reading.read_manifest(directory, manifest.BASE)
    for base in content["bases"]:
        kind = bases.KINDS.get(base["estimator"])
        if kind is not None and kind.package is not None:
            library(kind.package)
    if any(name.endswith(estimators.SKOPS) for name in content["parts"]):
        import skops.io  # noqa: F401 - before the limits, as the libraries
    _hold_to(limits)
    with _refused_as(ModelError, f"a base of '{directory}' cannot be read", _AGAIN):
        stored = reading.load_base(directory)
        for spec, base in zip(stored.specs, stored.bases, strict=True):
            if spec.estimator in bases.IMPORTABLE:
                _ask(base, _made_up(stored.problem, stored.schema.width))


@contextmanager
def _refused_as(kind: type[ResmemError], what: str, hint: str) -> Iterator[None]:
    """Turn whatever reading and asking a damaged file raises into one sentence."""
    try:
        yield
    except MemoryError as error:
        raise kind(f"{what} (it needs more RAM than the limit)", hint) from error
    except ModelError as error:
        raise kind(error.message, hint) from error
    except ResmemError:
        raise
    except ValueError as error:
        raise kind(f"{what} ({_described(error)})", hint) from error
    except Exception as error:
        raise kind(f"{what} ({type(error).__name__}: {_described(error)})", hint) from error


def _described(error: Exception) -> str:
    return textwrap.shorten(str(error), 300, placeholder=" …")


def _hold_to(limits: Limits) -> None:
    """Have the system end this process if it takes more than it may; from now on, its libraries being loaded."""
    used = math.ceil(time.process_time())
    for what, most in (
        (resource.RLIMIT_CPU, used + limits.computing),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CORE, 0),
    ):
        _, allowed = resource.getrlimit(what)
        least = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        with suppress(ValueError, OSError):  # where a system knows no such limit
            resource.setrlimit(what, (least, allowed))


def _ask(base: Base, X: Floats) -> None:
    """Ask for rows that are made up, which a sound model may refuse: it was fitted to others."""
    for rows in (X, np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)):
        for ask in (base.predict, base.represent):
            try:
                ask(rows)
            except DataError:
                continue
            except UsageError as error:
                raise ModelError(error.message, _AGAIN) from error


def _made_up(problem: Problem, width: int) -> Floats:
    """Return [n, width] rows: numbers of every size, and the codes of categories."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_N_MADE_UP, width)) * 10.0 ** rng.integers(-1, 5, (_N_MADE_UP, 1))
    for column, count in enumerate(problem.n_categories):
        if count > 0:
            X[:, column] = rng.integers(0, count, _N_MADE_UP)
    return X


def _growing(X: Floats) -> Iterator[Floats]:
    """Yield rows, a few and then more of them, until there are no more or the next would take too long."""
    start, size, began = 0, _FIRST_ROWS, time.process_time()
    while start < len(X) and (time.process_time() - began) * (1 + _GROWTH) < _MOST_SECONDS:
        yield X[start : start + size]
        start, size = start + size, _GROWTH * size
