"""A model directory of whichever kind that is damaged anywhere: an answer or an error of ours, never anything else.

RESMEM_TESTS=long raises how many are tried, and RESMEM_MUTANTS sets it; `python -m tests.store.fuzz` says what went
wrong with which.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.counts import times
from tests.store import fuzz, subjects

N_MUTANTS = times(110, 120, "RESMEM_MUTANTS")
# The libraries of these are started for each mutant, in a process of their own, which takes a second.
_SLOW = ("catboost", "onnx")


@pytest.mark.first
@pytest.mark.parametrize(
    ("names", "share"),
    [([name for name in subjects.EVERY if name not in _SLOW], 1.0), (list(_SLOW), 0.02)],
    ids=["read here", "read elsewhere"],
)
def test_a_damaged_model_is_refused_or_used(tmp_path: Path, names: list[str], share: float) -> None:
    n, at_once = round(share * N_MUTANTS), max(1, round(share * N_MUTANTS) // len(names))
    found = list(fuzz.run(n, names, tmp_path, seed=0, workers=min(2, os.cpu_count() or 1), at_once=at_once))
    assert len(found) == n
    assert {each.subject for each in found} == set(names)
    assert {each.outcome for each in found} >= {fuzz.REFUSED}
    wrong = [each for each in found if each.outcome not in fuzz.RIGHT]
    assert not wrong, "\n".join(map(str, wrong))


def _raise(error: BaseException) -> str:
    raise error


def test_what_must_not_be_is_seen() -> None:
    """Nothing of it is taken for an answer."""
    assert fuzz.alone(lambda: fuzz.USED) == fuzz.USED
    assert fuzz.alone(lambda: str(os.kill(os.getpid(), signal.SIGSEGV))) == "crashes by SIGSEGV"
    assert fuzz.alone(lambda: str(time.sleep(60)), seconds=0.3) == "does not end"
    assert fuzz.alone(lambda: _raise(KeyError("x"))).startswith("unexpected KeyError: 'x' at test_fuzz.py:")
    assert fuzz.alone(lambda: _raise(SystemExit(3))).startswith("unexpected SystemExit: 3")
    assert fuzz.alone(lambda: str(len(bytes(1 << 40)))).startswith("unexpected MemoryError")
    assert fuzz.alone(lambda: str(os._exit(7))) == "exits with 7"
