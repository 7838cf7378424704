"""Where does fit-residual say that rows seem to belong together, and what does looking cost?

    python -m tests.bench.alarms [--data DIR] [--sets NAME,...] [--threads N] [--most-rows N]

Base (boosting) and memory at quick effort on the first rows of every set in the folder, in their order, without
--group and --time. The time of the look is set against that of the whole fit-residual.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow import belonging
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench.accuracy import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--sets", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--most-rows", type=int, default=12_000)
    options = parser.parse_args()
    names = options.sets.split(",") if options.sets else sorted(path.stem for path in options.data.glob("*.parquet"))
    look, spent = belonging.notes, [0.0]

    def timed(*arguments):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        found = look(*arguments)
        spent[0] = time.perf_counter() - start
        return found

    belonging.notes = timed
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path, model = str(Path(folder) / "train.parquet"), Path(folder) / "model"
            known = data.load(options.data, name, None)
            pq.write_table(known.table.slice(0, options.most_rows), path)
            fit_base(Input((path,)), known.roles, model, BaseOptions("boosting", threads=options.threads))
            spent[0], start = 0.0, time.perf_counter()
            done = fit_residual(Input((path,)), model, MemoryOptions(effort="quick", threads=options.threads))
            whole = time.perf_counter() - start
            alarms = "; ".join(note for note in done.notes if "alike" in note) or "nothing said"
            off = "" if done.uses_memory else " (the memory is off: not looked)"
            cost = f"{whole:.1f} s, of that {100 * spent[0] / whole:.1f} % to look{off}"
            print(f"{name}, {done.n_rows:,} rows: {cost}: {alarms}", flush=True)


if __name__ == "__main__":
    main()
