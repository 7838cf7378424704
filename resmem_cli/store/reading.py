"""Loading a model directory: what belongs together, checked before it is parsed."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.schema import Schema
from resmem_cli.errors import ModelError
from resmem_cli.model import bases, metrics, representation
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import ExactIndex, HnswIndex, Index, Memory
from resmem_cli.model.resmem import Corrected, ResMem
from resmem_cli.store import estimators, graph_file, manifest, parts

_RETRIES = 5

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class StoredBase:
    """The bases as they lie in their directory.

    Attributes:
        id: of their generation; a memory names the bases it belongs to by it.
        schema, problem: what they read, and what they learned.
        specs, bases: how to fit them anew, and the fitted models; the first is the one to beat.
        n_rows: how many rows trained them.
    """

    id: str
    schema: Schema
    problem: Problem
    specs: tuple[BaseSpec, ...]
    bases: tuple[Base, ...]
    n_rows: int


class StoredModel(NamedTuple):
    """The bases, the whole with its memories, and the objective that it was chosen by."""

    base: StoredBase
    resmem: ResMem
    objective: str


@dataclass(frozen=True)
class RememberedRows:
    """Which rows the cells of each memory hold.

    Attributes:
        cells: per memory, [n] the cell of each row.
        ids: [n] what the id column said of each, or None if there is no such column.
    """

    cells: tuple[NDArray[np.int64], ...]
    ids: Ids | None

    @cached_property
    def _by_cell(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Per memory, the rows sorted by cell, and the cells in that order."""
        orders = [np.argsort(cells, kind="stable") for cells in self.cells]
        return [(order, cells[order]) for order, cells in zip(orders, self.cells, strict=True)]

    def names(self, memory: int, cell: int, most: int) -> list[str]:
        """Return the ids of the first rows of a cell, or their numbers from 1 where rows have none."""
        order, cells = self._by_cell[memory]
        start, stop = np.searchsorted(cells, [cell, cell + 1])
        rows = order[start : min(stop, start + most)].tolist()
        return [str(row + 1) if self.ids is None else self.ids[row] for row in rows]


@dataclass(frozen=True)
class Ids:
    """Texts as one run of UTF-8 bytes and the place where each ends."""

    data: bytes
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position: int) -> str:
        start = int(self.ends[position - 1]) if position else 0
        return self.data[start : int(self.ends[position])].decode()


def load_base(directory: Path) -> StoredBase:
    """Load the base alone.

    Raises:
        ModelError: there is none, or it is damaged or of a newer format.
    """
    return _steadily(directory, lambda: _base(directory, _read_base(directory)))


def load(directory: Path) -> StoredModel:
    """Load the base with the memory that belongs to it.

    Raises:
        ModelError: either is missing, damaged or of a newer format, or the memory belongs to another base.
    """
    return _steadily(directory, lambda: _model(directory))


def load_with_rows(directory: Path) -> tuple[StoredModel, RememberedRows]:
    """Load the whole, and which rows its memories hold.

    Raises:
        ModelError: as `load`.
    """

    def read() -> tuple[StoredModel, RememberedRows]:
        content = _read_memory(directory) if directory.is_dir() else {}
        model = _model(directory)
        if _read_memory(directory)["id"] != content["id"]:  # a writer came between
            raise FileNotFoundError(errno.ENOENT, "the memory", str(directory / manifest.MEMORY))
        return model, _remembered(directory, content)

    return _steadily(directory, read)


def seen_hashes(directory: Path, *, with_memory: bool) -> NDArray[np.uint64]:
    """Return the distinct hashes of the rows that the base, or also the memory, was fitted on."""

    def read() -> NDArray[np.uint64]:
        manifests = [_read_base(directory)] + ([_read_memory(directory)] if with_memory else [])
        return np.unique(np.concatenate([_row_hashes(directory, content) for content in manifests]))

    return _steadily(directory, read)


def read_manifest(directory: Path, name: str) -> dict[str, Any]:
    """Return what base.json or memory.json says.

    Raises:
        ModelError: it is missing, damaged, or of a newer format.
    """
    return _steadily(directory, lambda: _read_base(directory) if name == manifest.BASE else _read_memory(directory))


def _steadily(directory: Path, read: Callable[[], Loaded]) -> Loaded:
    """Read again if a part is gone: a writer has replaced the generation between its manifest and its parts."""
    for attempt in range(_RETRIES):
        time.sleep(0.1 * attempt)
        try:
            with guarded(directory):
                return read()
        except FileNotFoundError as error:
            if attempt == _RETRIES - 1:
                raise ModelError(
                    f"the model directory '{directory}' lacks {error.filename}", "fit the model again"
                ) from error
    raise AssertionError("unreachable")


@contextmanager
def guarded(directory: Path) -> Iterator[None]:
    """Turn what damaged content makes of whoever reads it into an error that says so; a missing file passes.

    Raises:
        ModelError: the content is not what a model directory holds, or may not be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelError(
            f"the model directory '{directory}' cannot be read ({error.strerror})", "check its permissions"
        ) from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            f"the model directory '{directory}' is damaged ({type(error).__name__}: {error})", "fit the model again"
        ) from error


def _read_base(directory: Path) -> dict[str, Any]:
    if directory.is_file():
        raise ModelError(f"'{directory}' is a file, not a model directory", "name the directory with --model")
    if not directory.is_dir():
        raise ModelError(
            f"there is no model directory '{directory}'",
            f"make one: resmem fit-base TRAIN --target COLUMN --model {directory}",
        )
    try:
        return manifest.read(directory / manifest.BASE)
    except FileNotFoundError:
        raise ModelError(
            f"the directory '{directory}' holds no base model",
            f"fit one: resmem fit-base TRAIN --target COLUMN --model {directory}",
        ) from None


def _read_memory(directory: Path) -> dict[str, Any]:
    try:
        return manifest.read(directory / manifest.MEMORY)
    except FileNotFoundError:
        raise ModelError(
            f"the model '{directory}' has no memory yet",
            f"run: resmem fit-residual TRAIN --model {directory} (or use the base alone with --base-only)",
        ) from None


def _base(directory: Path, content: Mapping[str, Any]) -> StoredBase:
    schema = Schema.from_json(content["schema"])
    paths = parts.checked(directory, content["id"], content["parts"])
    members = [_one_base(directory, each, paths, i) for i, each in enumerate(content["bases"])]
    if not members:
        raise ValueError("it names no base")
    problem = Problem(schema.n_categories, len(schema.target.classes), content["seed"], schema.vectors)
    specs, fitted = zip(*members, strict=True)
    return StoredBase(content["id"], schema, problem, specs, fitted, content["rows"])


def _one_base(
    directory: Path, content: Mapping[str, Any], paths: Mapping[str, Path], position: int
) -> tuple[BaseSpec, Base]:
    if content["estimator"] not in bases.KINDS:
        raise ModelError(
            f"the base of '{directory}' is of the unknown kind '{content['estimator']}'", "upgrade resmem-cli"
        )
    spec = BaseSpec(content["estimator"], content["params"], content["can_refit"])
    kind = bases.KINDS[spec.estimator]
    arrays = parts.load_arrays(paths[parts.numbered(parts.ARRAYS, position)])
    if kind.stored_as is None:
        return spec, kind.restore(arrays, None)
    path = paths[parts.numbered(f"{parts.ESTIMATOR}.{kind.stored_as}", position)]
    data = path.read_bytes()
    estimator = estimators.from_bytes(data, str(path)) if kind.stored_as == estimators.SKOPS else data
    return spec, kind.restore(arrays, estimator)


def _model(directory: Path) -> StoredModel:
    base_content, content = _read_base(directory), _read_memory(directory)
    if content["base"] != base_content["id"]:
        raise ModelError(
            f"the memory of '{directory}' belongs to another base (the base was fitted again since)",
            f"run: resmem fit-residual TRAIN --model {directory}",
        )
    stored = _base(directory, base_content)
    paths = parts.checked(directory, content["id"], content["parts"])
    memories = content["memories"]
    if not memories:
        raise ValueError("it names no memory")
    members = tuple(_member(directory, stored, each, paths, i) for i, each in enumerate(memories))
    resmem = ResMem(stored.bases, members, tuple(float(each["weight"]) for each in memories))
    return StoredModel(stored, resmem, content["objective"] or metrics.objectives(stored.problem.is_regression)[0])


def _member(
    directory: Path, stored: StoredBase, content: Mapping[str, Any], paths: Mapping[str, Path], position: int
) -> Corrected:
    arrays = parts.load_arrays(paths[parts.numbered(parts.ARRAYS, position)])
    index = _index(content, paths.get(parts.numbered(parts.GRAPH, position)), arrays)
    settings = Settings(**content["settings"] | {"bandwidth": float(content["settings"]["bandwidth"])})
    memory = Memory(arrays["residuals"], arrays["counts"], index)
    fits = len(memory.residuals) == content["cells"] and memory.residuals.shape[1] == stored.problem.n_outputs
    if not fits or content["base"] not in range(len(stored.bases)):
        raise ModelError(f"the memory of '{directory}' does not fit its manifest", "run fit-residual again")
    arrays = parts.load_arrays(paths[parts.numbered(parts.REPRESENTATION, position)])
    space = representation.restore(content["representation"], arrays)
    return Corrected(content["base"], space, memory, settings)


def _index(content: Mapping[str, Any], graph: Path | None, arrays: Mapping[str, NDArray[Any]]) -> Index:
    if content["search"]["kind"] == "exact":
        return ExactIndex(arrays["points"])
    if graph is None:
        raise KeyError(parts.GRAPH)
    graph_file.check(graph, content["cells"], content["columns"])
    search = content["search"]
    recall = float("nan") if search["recall"] is None else search["recall"]
    return HnswIndex.load(graph, content["columns"], content["cells"], search["ef"], recall)


def _remembered(directory: Path, content: Mapping[str, Any]) -> RememberedRows:
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    arrays = parts.load_arrays(paths[parts.ROWS])
    cells = tuple(arrays[f"cells_{i}" if i else "cells"] for i in range(len(content["memories"])))
    ids = Ids(arrays["id_bytes"].tobytes(), arrays["id_ends"]) if "id_ends" in arrays else None
    if any(len(each) != content["rows"] for each in cells) or (ids is not None and len(ids) != content["rows"]):
        raise ModelError(f"the memory of '{directory}' does not fit its manifest", "run fit-residual again")
    return RememberedRows(cells, ids)


def _row_hashes(directory: Path, content: Mapping[str, Any]) -> NDArray[np.uint64]:
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    hashes: NDArray[np.uint64] = parts.load_arrays(paths[parts.ROWS])["hashes"]
    return hashes
