"""The files of one memory: what is remembered in its cells, and the search over them, shard by shard.

A memory of one shard has one file of arrays and, if its search is not exact, one of its graph; one of several shards
has these for each. A shard that did not change has the same files as before, and they are not written again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import ModelError
from resmem_cli.model import residuals
from resmem_cli.model.arrays import FLOAT, SINGLE, stored
from resmem_cli.model.memory.building import shards_of
from resmem_cli.model.memory.index import ExactIndex, HnswIndex
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.memory.shards import Shard, ShardedIndex
from resmem_cli.store import description, graph_file, parts


def save(folder: Path, memory: Memory, position: int) -> None:
    """Write the files of the memory of the member at a position among the model's."""
    shards, start = shards_of(memory.index), 0
    for i, shard in enumerate(shards):
        part = slice(start, start + shard.n_points)
        start = part.stop
        name, graph_name = parts.of_shard(position, i, len(shards))
        arrays: dict[str, NDArray[Any]] = {
            **residuals.to_arrays(memory.residuals[part]),
            "counts": memory.counts[part],
        }
        if isinstance(shard, ExactIndex):
            arrays["points"] = shard.points
        else:
            _save_graph(folder / graph_name, shard)
        parts.save_arrays(folder / name, arrays)


def load(
    directory: Path, content: Mapping[str, Any], paths: Mapping[str, Path], position: int, n_classes: int
) -> Memory:
    """Read the memory that a memory.json has at a position, without the rows that it was built of.

    Raises:
        KeyError, ValueError: the files are damaged.
        ModelError: likewise, or they do not fit what the manifest says.
    """
    search, columns = content["search"], content["columns"]
    said = description.shards_of(content)
    shards, held, counts = list[Shard](), list[residuals.Residuals](), list[NDArray[np.float64]]()
    for i, (kind, n_cells) in enumerate(said):
        name, graph_name = parts.of_shard(position, i, len(said))
        arrays = parts.load_arrays(paths[name])
        if kind == "exact":
            shards.append(ExactIndex(stored(arrays, "points", SINGLE, n_cells, columns)))
        else:
            graph_file.check(paths[graph_name], n_cells, columns)
            recall = float("nan") if search["recall"] is None else search["recall"]
            shards.append(HnswIndex.load(paths[graph_name], columns, n_cells, search["ef"], recall))
        if len(arrays["residuals"]) != n_cells:
            raise misfit(directory)
        held.append(residuals.from_arrays(arrays, n_cells, n_classes, finite=False))
        counts.append(stored(arrays, "counts", FLOAT, n_cells, finite=False))
    index = shards[0] if len(shards) == 1 else ShardedIndex(tuple(shards))
    graph, most_cells = description.graph_of(content), content.get("max_cells")
    return Memory(residuals.joined(held), np.concatenate(counts), index, graph, most_cells)


def misfit(directory: Path) -> ModelError:
    """Return the error of a memory whose files are not those that its manifest describes."""
    return ModelError(f"the memory of '{directory}' does not fit its manifest", "run fit-residual again")


def _save_graph(path: Path, index: HnswIndex) -> None:
    if index.file is not None and index.file.is_relative_to(path.parents[1]) and index.file.exists():
        parts.link(index.file, path)  # of an older generation of the same directory, which nobody else may write
        return
    index.save(path)
    # hnswlib writes without looking whether it could.
    if path.stat().st_size != index.graph.index_file_size():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
