"""One graph against shards: time to build and to change, size, resident memory, and queries per second at recall .99.

    python -m tests.bench.shards [--rows N] [--shard-cells N ...] [--threads N]

Points are those of `tests.bench.search`: 16 columns near a 6-dimensional surface, in clusters; k is 32. Every case is
built in one process, which also forgets one cell, and loaded and searched in another, as `predict` does it, so that no
memory of one is counted in the other. The recall is that of 500 new points among the true neighbours, which a process
of its own computes; the width of the search (ef) is the one that the memory chose for recall .99, or wider until that
is reached. Prints a line when each figure is there. results/shards.json keeps them.

20,000,000 rows take hours; each graph of all of them about 12 GB while it is built.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.model.arrays import Singles
from resmem_cli.model.memory.building import build_index, changed_index, shards_of
from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.shards import Shard, ShardedIndex
from resmem_cli.store import graph_file
from tests.bench.search import rate, surface

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[2]
_K, _JUDGED, _QUERIES = 32, 500, 20_000
_PIECE = 1_000_000
_RECALL = 0.99


def made(n_rows: int) -> tuple[Singles, Singles]:
    """Return the points to remember, a piece at a time, and the queries."""
    points = np.empty((n_rows, 16), np.float32)
    for start in range(0, n_rows, _PIECE):
        part = points[start : start + _PIECE]
        part[:] = surface(len(part), np.random.default_rng([0, start]))
    return points, surface(_QUERIES, np.random.default_rng(1))


def truth(folder: Path, n_rows: int) -> dict[str, Any]:
    """Write how far the k-th true neighbour of the judged queries is."""
    points, queries = made(n_rows)
    pieces = tuple(ExactIndex(points[start : start + _PIECE]) for start in range(0, n_rows, _PIECE))
    began = time.perf_counter()
    distances, _ = ShardedIndex(pieces).search(queries[:_JUDGED], _K)
    np.save(folder / "truth.npy", distances[:, -1])
    return {"exact search s": time.perf_counter() - began}


def build(folder: Path, n_rows: int, shard_cells: int, threads: int) -> dict[str, Any]:
    """Build and write an index, and then let it forget a cell."""
    points, _ = made(n_rows)
    options = GraphOptions(shard_cells=shard_cells)
    began = time.perf_counter()
    index = build_index(points, _K, options, 0, threads)
    run: dict[str, Any] = {"build s": time.perf_counter() - began, "build peak MiB": peak()}
    shards = shards_of(index)
    said = []
    began = time.perf_counter()
    for i, shard in enumerate(shards):
        path = folder / f"{shard_cells}_{i}"
        if isinstance(shard, HnswIndex):
            shard.save(path)
        else:
            np.save(path.with_suffix(".npy"), shard.points)
        said.append({"cells": shard.n_points, "is_graph": isinstance(shard, HnswIndex)})
    run["write s"] = time.perf_counter() - began
    files = [*folder.glob(f"{shard_cells}_*")]
    run["file MiB"] = sum(path.stat().st_size for path in files) / 2**20
    graph = next(shard for shard in shards if isinstance(shard, HnswIndex))
    described = {"shards": said, "ef": graph.ef, "recall": graph.recall}
    (folder / f"{shard_cells}.json").write_text(json.dumps(described))
    if len(shards) > 1:  # one graph is built anew
        left = [shard.n_points for shard in shards]
        left[0] -= 1
        began = time.perf_counter()
        changed_index(index, left, points[1:], k=_K, options=options, seed=0, threads=threads)
        run["forget s"] = time.perf_counter() - began
    return {"cells": n_rows, "shards": len(shards), **run}


def serve(folder: Path, shard_cells: int, threads: int) -> dict[str, Any]:
    """Load an index as a model is loaded, and search it."""
    described = json.loads((folder / f"{shard_cells}.json").read_text())
    queries = surface(_QUERIES, np.random.default_rng(1))
    farthest = np.load(folder / "truth.npy")
    began, shards = time.perf_counter(), list[Shard]()
    for i, said in enumerate(described["shards"]):
        path = folder / f"{shard_cells}_{i}"
        if said["is_graph"]:
            graph_file.check(path, said["cells"], 16)
            shards.append(HnswIndex.load(path, 16, said["cells"], described["ef"], described["recall"]))
        else:
            shards.append(ExactIndex(np.load(path.with_suffix(".npy"))))
    run = {"load s": time.perf_counter() - began, "load peak MiB": peak(), "resident MiB": resident()}
    ef = described["ef"]
    while True:
        index = ShardedIndex(tuple(replace(s, ef=ef) if isinstance(s, HnswIndex) else s for s in shards))
        found, _ = index.search(queries[:_JUDGED], _K, threads)
        recall = float((found <= farthest[:, None] * (1 + 1e-5) + 1e-12).mean())
        if recall >= _RECALL or ef > 4_096:
            break
        ef = -(-ef * 5 // 4)
    run |= {"ef chosen": described["ef"], "recall promised": described["recall"], "ef": ef, "recall": recall}
    return run | {"queries per second": rate(lambda: index.search(queries, _K, threads), len(queries))}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not say how much memory a process holds")


def alone(step: str, **said: Any) -> dict[str, Any]:
    """Run a step in a process of its own, print what it measured, and return it."""
    command = [sys.executable, "-m", "tests.bench.shards", "--step", json.dumps([step, said])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{step} {said.get('shard_cells', '')}: " + ", ".join(f"{k} {v:,.4g}" for k, v in found.items()), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--shard-cells", type=int, nargs="*", help="by default all rows, a quarter and a sixteenth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    steps: dict[str, Callable[..., dict[str, Any]]] = {"truth": truth, "build": build, "serve": serve}
    if asked.step is not None:
        step, said = json.loads(asked.step)
        print(json.dumps(steps[step](Path(said.pop("folder")), **said)))
        return
    cases = asked.shard_cells or [asked.rows, -(-asked.rows // 4), -(-asked.rows // 16)]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        alone("truth", folder=folder, n_rows=asked.rows)
        for shard_cells in cases:
            case = {"folder": folder, "shard_cells": shard_cells, "threads": asked.threads}
            found = {"shard cells": shard_cells, **alone("build", n_rows=asked.rows, **case)}
            runs.append(found | alone("serve", **case))
            for path in Path(folder).glob(f"{shard_cells}_*"):
                path.unlink()
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "shards.json").write_text(json.dumps(runs, indent=2))
    shown = ("shards", "build s", "forget s", "file MiB", "build peak MiB", "resident MiB", "ef", "recall")
    print("\n| " + " | ".join([*shown, "queries/s"]) + " |\n|" + "---|" * (len(shown) + 1))
    for run in runs:
        figures = [f"{run[name]:,.4g}" if name in run else "" for name in (*shown, "queries per second")]
        print("| " + " | ".join(figures) + " |")


if __name__ == "__main__":
    main()
