"""The files of one member of a model: its space, and its memory with the search."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from resmem_cli.errors import ModelError
from resmem_cli.model import residuals, spaces
from resmem_cli.model.arrays import FLOAT, SINGLE, stored
from resmem_cli.model.bases import Problem
from resmem_cli.model.memory.index import ExactIndex, HnswIndex, Index
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.resmem import Member
from resmem_cli.store import description, graph_file, older_formats, parts


def save(folder: Path, member: Member, position: int) -> None:
    """Write the files of the member at a position among the model's."""
    memory, index = member.memory, member.memory.index
    parts.save_arrays(folder / parts.numbered(parts.REPRESENTATION, position), member.space.to_arrays())
    arrays: dict[str, NDArray[Any]] = {**residuals.to_arrays(memory.residuals), "counts": memory.counts}
    if isinstance(index, HnswIndex):
        path = folder / parts.numbered(parts.GRAPH, position)
        index.save(path)
        # hnswlib writes without looking whether it could.
        if path.stat().st_size != index.graph.index_file_size():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif isinstance(index, ExactIndex):
        arrays["points"] = index.points
    parts.save_arrays(folder / parts.numbered(parts.ARRAYS, position), arrays)


def load(
    directory: Path, content: Mapping[str, Any], paths: Mapping[str, Path], position: int, problem: Problem
) -> Member:
    """Read the member that a memory.json has at a position, without the rows that its memory was built of.

    Raises:
        KeyError, ValueError: the files are damaged.
        ModelError: likewise, or they do not fit what the manifest says, or are of an older resmem.
    """
    arrays = parts.load_arrays(paths[parts.numbered(parts.ARRAYS, position)])
    n_cells = content["cells"]
    index = _index(content, paths.get(parts.numbered(parts.GRAPH, position)), arrays)
    if len(arrays["residuals"]) != n_cells:
        raise misfit(directory)
    held = residuals.from_arrays(arrays, n_cells, problem.n_classes, finite=False)
    counts = stored(arrays, "counts", FLOAT, n_cells, finite=False)
    memory = Memory(held, counts, index, description.graph_of(content), content.get("max_cells"))
    name = content["representation"]
    arrays = parts.load_arrays(paths[parts.numbered(parts.REPRESENTATION, position)])
    space = spaces.restore(name, older_formats.present_space(name, arrays))
    if not space.belongs(problem, content["columns"]):
        raise ValueError(
            f"the space of memory {position} does not match the schema, or does not have {content['columns']} columns"
        )
    settings = description.settings_of(content)
    return Member(content["base"], space, memory, settings, float(content["weight"]), content["residuals"])


def misfit(directory: Path) -> ModelError:
    """Return the error of a memory whose files are not those that its manifest describes."""
    return ModelError(f"the memory of '{directory}' does not fit its manifest", "run fit-residual again")


def _index(content: Mapping[str, Any], graph: Path | None, arrays: Mapping[str, NDArray[Any]]) -> Index:
    if content["search"]["kind"] == "exact":
        return ExactIndex(stored(arrays, "points", SINGLE, content["cells"], content["columns"]))
    if graph is None:
        raise KeyError(parts.GRAPH)
    graph_file.check(graph, content["cells"], content["columns"])
    search = content["search"]
    recall = float("nan") if search["recall"] is None else search["recall"]
    return HnswIndex.load(graph, content["columns"], content["cells"], search["ef"], recall)
