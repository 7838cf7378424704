"""Damaged models, each tried in a process of its own: an answer or an error of ours, never anything else.

    python -m tests.store.fuzz 10000 [--only NAME ...] [--seed N] [--workers N]

Every model is verified, inspected, predicted and explained with, and now and then a row of it is forgotten and the
last change undone. A mutant is
*refused* (a ModelError, exit 4) or *used* (also where rows do not fit what it says now, which is a sentence too).
Wrong are: a process that crashes, or does not end; an error that is not ours; and a model that cannot be used although
verify found it sound.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from resmem_cli.errors import ModelError, ResmemError
from resmem_cli.model import bases
from resmem_cli.store import trial, verifying
from resmem_cli.workflow import change, explain, history, inspect, predict
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.scoring import ScoreOptions
from tests.store import subjects
from tests.store.mutation import mutate

_SECONDS = 60  # that a mutant may take, on a busy machine
_MEMORY = 8 << 30
REFUSED, USED, UNFOUND = "refused", "used", "unusable though verified"
RIGHT = (REFUSED, USED)
# Checked whole before their library follows them; the others are read by a process of their own.
_READ_WHOLE = ("lightgbm", "xgboost", "sklearn")
_LOADED = (
    *("hnswlib", "pandas", "scipy.special", "scipy.stats", "skops.io", "pyarrow.csv", "pyarrow.parquet"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.neural_network", "sklearn.pipeline", "joblib"),
)


@dataclass(frozen=True)
class Tried:
    """What became of a mutant."""

    subject: str
    index: int
    change: str
    outcome: str


def tried(whole: Path, name: str, index: int, seed: int, folder: Path) -> Tried:
    """Damage a copy of a model and try it."""
    rng = np.random.default_rng([seed, index])
    model, rows = folder / "mutant", whole.parent / "new.parquet"
    shutil.copytree(whole, model)
    what = mutate(model, "manifests" if rng.random() < 0.35 else "parts", rng)
    forgets = bool(rng.random() < 0.2)
    try:
        outcome = alone(lambda: _outcome(model, rows, name, forgets=forgets))
    finally:
        shutil.rmtree(model, ignore_errors=True)
    return Tried(name, index, what, outcome)


def alone(job: Callable[[], str], seconds: float = _SECONDS) -> str:
    """Return what a job says in a child process, or how that fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(writer, job)
    os.close(writer)
    said, until = b"", time.monotonic() + seconds
    while select.select([reader], [], [], max(0, until - time.monotonic()))[0]:
        piece = os.read(reader, 65_536)
        if not piece:
            break
        said += piece
    else:
        os.kill(child, signal.SIGKILL)
        said = b"does not end"
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and not said:
        return f"crashes by {signal.Signals(os.WTERMSIG(status)).name}"
    return said.decode(errors="replace") or f"exits with {os.waitstatus_to_exitcode(status)}"


def _child(writer: int, job: Callable[[], str]) -> None:
    try:
        faulthandler.disable()  # which would write to where this process's errors went before
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        warnings.simplefilter("ignore")
        os.write(writer, job().encode())
    except BaseException as error:  # noqa: BLE001 - what must not be is told
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = "" if where is None else f" at {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}"
        os.write(writer, f"unexpected {type(error).__name__}: {str(error)[:150]}{at}".encode())
    finally:
        os._exit(0)


def _outcome(model: Path, rows: Path, name: str, *, forgets: bool) -> str:
    if name.startswith(_READ_WHOLE):
        trial.load_base = lambda *_: None  # type: ignore[assignment]  # it takes a second, and shows nothing more here
    try:
        verifying.verify(model)
        is_sound = True
    except ModelError:
        is_sound = False
    options = PredictOptions(str(model.parent / "out.csv"), score=ScoreOptions(with_support=True), threads=1)
    jobs = [
        lambda: inspect.inspect(model),
        lambda: history.history(model),
        lambda: predict.predict(Input((str(rows),)), model, options),
    ]
    if not is_sound and not name.startswith(_READ_WHOLE) and name in subjects.FOREIGN:
        return REFUSED  # what a process of its own was for must not be read here
    if forgets:
        jobs.append(lambda: list(explain.explain(Input((str(rows),)), model, rows=(1, 2), threads=1)))
        jobs.append(lambda: change.forget(model, ids=("row 3 é",), threads=1))
        jobs.append(lambda: history.undo(model))
    for job in jobs:
        try:
            job()
        except ModelError as error:
            if is_sound:
                return f"{UNFOUND}: {error.message}"
        except ResmemError:
            continue  # the rows do not fit what the schema says now
    return USED if is_sound else REFUSED


def loaded(names: Iterable[str]) -> None:
    """Load what the children need, so that not each of them does; nothing is computed, which would start threads."""
    for module in _LOADED:
        importlib.import_module(module)
    for name in names:
        for kind in name.partition(",")[0].split():
            with suppress(KeyError, ImportError):
                importlib.import_module(bases.KINDS.places[kind].split(":")[0], bases.__name__)
                importlib.import_module(bases.KINDS[kind].package or "numpy")


def several(whole: Path, name: str, indices: Sequence[int], seed: int) -> list[Tried]:
    """Try several mutants of a model."""
    loaded([name])
    with tempfile.TemporaryDirectory() as folder:
        return [tried(whole, name, index, seed, Path(folder)) for index in indices]


def run(
    n_mutants: int, names: Sequence[str], models: Path, *, seed: int, workers: int, at_once: int
) -> Iterator[Tried]:
    """Make models, those that are not there yet, and yield what becomes of mutants of theirs."""
    # In processes of their own, so that no thread of this one, nor of those that fit, is in the way of a fork.
    context = get_context("forkserver")
    context.set_forkserver_preload([*_LOADED, __name__])
    folders = [models / name.replace(", ", "_") for name in names]
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        made = dict(zip(names, pool.map(subjects.make, folders, names), strict=True))
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = []
        for start in range(0, n_mutants, at_once):
            name = names[(start // at_once) % len(names)]
            indices = range(start, min(start + at_once, n_mutants))
            running.append(pool.submit(several, made[name], name, indices, seed))
        for future in running:
            yield from future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutants", type=int)
    parser.add_argument("--only", nargs="*", default=list(subjects.EVERY), choices=subjects.EVERY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--models", type=Path, help="where models are kept, for another run; nowhere if left out")
    parser.add_argument("--at-once", type=int, default=25)
    asked = parser.parse_args()
    started, counts, wrong = time.monotonic(), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        own = {"seed": asked.seed, "workers": asked.workers, "at_once": asked.at_once}
        for each in run(asked.mutants, asked.only, asked.models or Path(folder), **own):
            counts[each.outcome if each.outcome in RIGHT else "wrong"] += 1
            if each.outcome not in RIGHT:
                wrong[each.subject] += 1
                print(f"{each.subject} #{each.index}: {each.change} -> {each.outcome}", flush=True)
    print(f"{sum(counts.values()):,} mutants in {time.monotonic() - started:.0f} s: {dict(counts)}; {dict(wrong)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
