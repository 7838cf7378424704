"""What another library reads is first read in a separate process: there a damaged file can do no harm.

CatBoost, onnxruntime, libsvm and others follow a file without looking: one that is damaged or made for it ends the
process, never returns, or takes all memory. So a child process loads it and predicts a few rows, with limits of memory
and time, and only says how that went. It starts anew, rather than as a copy of this process and its threads, and
its answer is JSON: from a process that a file may have taken over nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmem_cli.errors import DataError, ModelError, ResmemError, UsageError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.table import Table

# The child finds modules where this process does, and nowhere else: not in the folder it happens to be in.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from resmem_cli.store import trial_child; trial_child.main()"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_ERRORS: Mapping[str, type[ResmemError]] = {error.__name__: error for error in (DataError, ModelError, UsageError)}
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a child may use.

    Attributes:
        computing: seconds of the processor, beyond those that its libraries take to be loaded.
        waiting: seconds until it has answered, all in all.
        memory: bytes of address space, of which libraries reserve more than they use.
    """

    computing: int = 6
    waiting: int = 60
    memory: int = 6 << 30

    def of_file(self, n_bytes: int) -> Limits:
        """Return the limits for a file of a size: a large one takes longer to be read, and several times its size."""
        seconds = n_bytes // _MEBIBYTE
        return Limits(self.computing + seconds, self.waiting + 2 * seconds, self.memory + 10 * n_bytes)


USUAL = Limits()


@dataclass(frozen=True)
class File:
    """A file that is to become a base.

    Attributes:
        kind: of the registry's.
        data: what is in it.
        name: as the user gave it.
        table, outputs: arguments of `Importable.imported`.
        X: [n, d] encoded rows to predict, the first few at least.
    """

    kind: str
    data: bytes
    name: str
    table: Table
    outputs: Mapping[str, str]
    X: Floats


def import_file(file: File, limits: Limits = USUAL) -> tuple[str, ...]:
    """Import a file and predict with it in a child process; return notes on how it is read.

    Raises:
        DataError: it is damaged, or is not done within the limits, or ends the process that reads it.
        UsageError: it does not fit the columns, or its library is not installed.
    """
    what, limits = f"'{file.name}'", limits.of_file(len(file.data) + file.X.nbytes)
    hint = "save it again, or write the model's predictions as columns instead (--predictions or --probabilities)"
    answer = _answer(("file", file), limits, DataError, what, hint)
    return tuple(str(note) for note in answer["notes"])


def load_base(directory: Path, n_bytes: int, limits: Limits = USUAL) -> None:
    """Load the bases of a model directory and predict with them in a child process; they are `n_bytes` large.

    Raises:
        ModelError: one is damaged, or is not done within the limits, or ends the process that reads it.
        UsageError: a library is not installed.
    """
    what = f"a base of '{directory}'"
    hint = "do not use this model unless you know who made it; run fit-base again"
    _answer(("directory", directory.absolute()), limits.of_file(n_bytes), ModelError, what, hint)


def _answer(job: Any, limits: Limits, kind: type[ResmemError], what: str, hint: str) -> dict[str, Any]:
    """Return what a child process answers; its error is raised here."""
    sent = json.dumps(sys.path).encode() + b"\n" + pickle.dumps((job, limits), protocol=5)
    command = [sys.executable or "python3", "-I", "-c", _START]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    # In a separate process group a terminal's Ctrl-C does not reach it: it ends with the wait for it.
    child = subprocess.Popen(  # noqa: S603 - this Python, with words of our own
        command, stdin=pipe, stdout=pipe, stderr=nothing, env=os.environ | _ONE_THREAD, process_group=0
    )
    try:
        out, _ = child.communicate(sent, timeout=limits.waiting)
    except subprocess.TimeoutExpired:
        raise kind(f"{what} takes more than {limits.waiting} seconds to load and to predict a few rows", hint) from None
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
    if child.returncode != 0:
        raise kind(f"{what} {_ending(child.returncode, limits)}", hint)
    answer: dict[str, Any] = json.loads(out)
    if "error" in answer:
        raise _ERRORS[answer["error"]](answer["message"], answer["hint"])
    return answer


def _ending(code: int, limits: Limits) -> str:
    if code == -signal.SIGXCPU:
        return f"takes more than {limits.computing} seconds of CPU time to load and to predict a few rows"
    how = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
    return f"crashes the process that loads it ({how}): it is damaged or malicious"
