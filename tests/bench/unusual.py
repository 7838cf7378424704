"""What `remember` calls unusual, and what it refuses, on rows that are like those that are remembered.

    python -m tests.bench.unusual [--data DIR] [--sets SET,...] [--bases linear,boosting] [--rows N] [--seeds N]

Every data set with numbers to predict is split at random, 80 % to 20 %. Of the smaller part it prints the largest
residual as a multiple of a large remembered or held-out one (beyond 100 it is refused), the same with
targets a thousand times too large, and the shares of unusual rows: outside the 99 % prediction interval, and beyond
the remembered residuals. Of both, 1 % is wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.errors import DataError
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.store import reading
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import drift, labelled
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input


def measured(table: pa.Table, target: str, base: str, seed: int) -> tuple[float, float, float | None, float | None]:
    """Return the two multiples, and the two shares, of one split."""
    order = np.random.default_rng(seed).permutation(table.num_rows)
    n_known = table.num_rows * 4 // 5
    with tempfile.TemporaryDirectory() as folder:
        known, new, model = (Path(folder) / name for name in ("known.parquet", "new.parquet", "model"))
        pq.write_table(table.take(pa.array(order[:n_known])), known)
        pq.write_table(table.take(pa.array(order[n_known:])), new)
        fit_base(Input((str(known),)), Roles(target), model, BaseOptions(base, threads=1))
        fit_residual(Input((str(known),)), model, MemoryOptions(effort="quick", n_members=1, threads=1))
        stored, remembered = reading.load_for_change(model)
        given = labelled.read(Input((str(new),)), stored.base.schema)
    uncalibrated = stored._replace(resmem=replace(stored.resmem, calibration=None))
    shares = [drift.measure(each, remembered.hashes, given, 1).residuals for each in (stored, uncalibrated)]
    multiples = [_multiple(stored, each) for each in (given, replace(given, y=1_000 * given.y))]
    return multiples[0], multiples[1], shares[0], shares[1]


def _multiple(stored: StoredModel, given: labelled.Labelled) -> float:
    """Return the largest residual as a multiple of what `remember` allows a hundred times."""
    multiples = []
    for member in stored.resmem.members:
        base = stored.resmem.bases[member.base]
        found = np.abs(member.remembered(given.as_new(), base)[1]).max()
        multiples.append(drift.TIMES * found / drift.bound(stored, member)[0])
    is_refused = False
    try:
        drift.refuse_beyond_reason(stored, given, None)
    except DataError:
        is_refused = True
    if is_refused != (max(multiples) > drift.TIMES):
        raise AssertionError("what is refused is not what is beyond the bound")
    return float(max(multiples))


def sets(data: Path, wanted: list[str], most: int) -> Iterator[tuple[str, pa.Table, str]]:
    """Yield the data sets of numbers by name, thinned to so many rows, with their targets."""
    for path in sorted(data.glob("*.json")):
        described = json.loads(path.read_text())
        if described.get("task") != "regression" or (wanted and path.stem not in wanted):
            continue
        table, target = pq.read_table(path.with_suffix(".parquet")), described["target"]
        table = table.filter(table[target].is_valid())
        rows = np.sort(np.random.default_rng(0).permutation(table.num_rows)[:most])
        yield path.stem, table.take(pa.array(rows)), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "../shared/data")))
    parser.add_argument("--sets", type=lambda text: text.split(","), default=[])
    parser.add_argument("--bases", type=lambda text: text.split(","), default=["linear", "boosting"])
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    print(f"{'set':22}{'base':10}{'seed':>4}{'largest':>9}{'x 1000':>9}{'interval':>10}{'remembered':>12}")
    for name, table, target in sets(asked.data, asked.sets, asked.rows):
        for base in asked.bases:
            for seed in range(asked.seeds):
                largest, wrong, *shares = measured(table, target, base, seed)
                shown = [("-" if share is None else f"{100 * share:.2f} %") for share in shares]
                print(f"{name:22}{base:10}{seed:4}{largest:9.2f}{wrong:9,.0f}{shown[0]:>10}{shown[1]:>12}", flush=True)


if __name__ == "__main__":
    main()
