"""Any file of a model directory, changed at random: an answer or an error of ours, never anything else.

RESMEM_FUZZ raises how many changes are tried for a longer run. Sizes and hashes are made right again, as an attacker
would do, so that what parses the content is what is tested.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.store import manifest, parts
from tests.store.conftest import N_GRAPH_ROWS

N_CHANGES = int(os.environ.get("RESMEM_FUZZ", "60"))
_AT_ONCE = 20
# Of a child process, which may crash: every directory it is given is verified, and predicted and explained with.
_TRY = """
import sys, tracemalloc
import numpy as np
from pathlib import Path
from resmem_cli.errors import ResmemError
from resmem_cli.store import reading, verifying
for name in sys.argv[1:]:
    print("trying", name, flush=True)
    for job in (verifying.verify, reading.load_for_change):
        try:
            found = job(Path(name))
        except ResmemError:
            continue
    try:
        model = reading.load(Path(name))
        X = np.zeros((3, model.base.schema.width))
        model.resmem.predict(X, with_place=True)
    except ResmemError:
        pass
    print("fine", name, flush=True)
"""


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with one of the changes that accidents and attackers make."""
    kind = rng.integers(5)
    at = int(rng.integers(len(data))) if data else 0
    if kind == 0:  # a few bits
        whole = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            whole[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        return bytes(whole)
    if kind == 1:  # a cut
        return data[:at]
    if kind == 2:  # extreme numbers
        value = int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])).to_bytes(4, "little")
        return data[:at] + value + data[at + 4 :]
    if kind == 3:  # a piece twice
        return data[:at] + data[at : at + 64] + data[at:]
    return data[:at] + bytes(rng.integers(0, 256, 32, dtype=np.uint8)) + data[at + 32 :]


def made_right(model: Path) -> None:
    """Write the manifests' sizes and hashes anew."""
    for which in (manifest.BASE, manifest.MEMORY):
        content = json.loads((model / which).read_bytes())
        content["parts"] = parts.to_json(parts.record(model / parts.FOLDER / content["id"]))
        (model / which).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("estimator", "n_rows"), [("boosting", 60), ("mlp", 60), ("linear,constant", 60), ("linear", N_GRAPH_ROWS)]
)
@pytest.mark.parametrize("which", ["parts", "manifests"])
def test_a_changed_directory_is_refused_or_read(
    copied: Callable[..., Path], tmp_path: Path, estimator: str, n_rows: int, which: str
) -> None:
    whole = copied(estimator, n_rows=n_rows)
    rng = np.random.default_rng([n_rows, len(estimator), len(which)])
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    chosen = [path for path in files if (path.suffix == ".json") == (which == "manifests")]
    for start in range(0, N_CHANGES, _AT_ONCE):
        names = []
        for i in range(start, min(start + _AT_ONCE, N_CHANGES)):
            model = tmp_path / f"changed_{i}"
            shutil.copytree(whole, model)
            path = model / chosen[int(rng.integers(len(chosen)))]
            path.write_bytes(changed(path.read_bytes(), rng))
            if which == "parts":
                made_right(model)
            names.append(str(model))
        done = subprocess.run(
            [sys.executable, "-c", _TRY, *names], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-3000:]}"
        for name in names:
            shutil.rmtree(name)
