"""Any input, changed at random: a table or an error of ours, never anything else.

In a process of its own, because a reader in another language that met the unforeseen would crash. RESMEM_TESTS=long
raises how many changes of each format are tried, and RESMEM_FUZZ sets it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.counts import times
from tests.store.mutation import changed_bytes

N_CHANGES = times(60, 80, "RESMEM_FUZZ")
_TRY = """
import sys
from resmem_cli.data import encoding, inference, sources, tables
from resmem_cli.data.inference import Roles
from resmem_cli.errors import ResmemError
for name in sys.argv[1:]:
    print("trying", name, flush=True)
    for job in (
        lambda found: list(tables.read(found, batch_rows=7)),
        lambda found: inference.learn(tables.read_all(found), Roles("y")),
        tables.count_rows,
    ):
        try:
            job(sources.resolve([name]))
        except ResmemError:
            pass
"""


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "y": rng.normal(size=40),
            "number": pa.array([None if i % 7 == 0 else i for i in range(40)], pa.int64()),
            "word": [f"wört, {i % 5}" for i in range(40)],
            "truth": [i % 3 == 0 for i in range(40)],
            "day": pa.array(np.arange(40) * 86_400_000_000, pa.timestamp("us", "UTC")),
            "vector": pa.array(rng.normal(size=(40, 3)).tolist(), pa.list_(pa.float64())),
            "kind": pa.array([f"k{i % 3}" for i in range(40)]).dictionary_encode(),
        }
    )


def written(path: Path) -> bytes:
    flat = table().drop_columns(["vector", "kind"])
    if path.suffix == ".parquet":
        pq.write_table(table(), path)
    elif path.suffix == ".arrow":
        pyarrow.feather.write_feather(table(), str(path), compression="uncompressed")
    elif path.name.endswith(".jsonl"):
        path.write_text("".join(f'{{"y": {i}, "a": "b{i}", "c": [{i}, 2.5], "d": null}}\\n' for i in range(40)))
    elif path.name.endswith(".gz"):
        with pa.CompressedOutputStream(str(path), "gzip") as stream:
            pyarrow.csv.write_csv(flat, stream)
    else:
        pyarrow.csv.write_csv(flat, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".parquet", ".arrow"])
def test_a_changed_input_is_refused_or_read(tmp_path: Path, suffix: str) -> None:
    whole = written(tmp_path / f"whole{suffix}")
    rng = np.random.default_rng(len(suffix))
    names = []
    for i in range(N_CHANGES):
        path = tmp_path / f"changed_{i}{suffix}"
        path.write_bytes(changed_bytes(whole, rng))
        names.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", _TRY, *names], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-3000:]}"
