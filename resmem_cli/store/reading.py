"""Loading a model directory, or what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.places import Place
from resmem_cli.errors import ModelError
from resmem_cli.store import fetching, generations, manifest, parsing
from resmem_cli.store.consistent import steadily
from resmem_cli.store.rows import MemoryRows, RowNames, TrainedRows
from resmem_cli.store.stored import StoredBase, StoredModel


def load_base(model: Place) -> StoredBase:
    """Load the base alone.

    Raises:
        ModelError: there is none, or it is damaged or of a newer format.
    """

    def read(directory: Path) -> StoredBase:
        return parsing.parse_base(directory, parsing.read_base(directory))

    return steadily(model, read, fetching.BASES)


def load(model: Place) -> StoredModel:
    """Load the base with the memory that belongs to it.

    Raises:
        ModelError: either is missing, damaged or of a newer format, or the memory belongs to another base.
    """

    def read(directory: Path) -> StoredModel:
        base = parsing.read_base(directory)  # its absence is told first
        content = parsing.read_memory(directory)
        return parsing.parse_model(directory, base, content, content)

    return steadily(model, read)


def load_with_or_without_memory(model: Place) -> StoredModel:
    """Load the whole; of a directory without memory, a model that predicts by the base alone.

    Raises:
        ModelError: as `load`, but that the memory may be missing.
    """
    return steadily(model, lambda directory: _with_or_without_memory(directory, parsing.read_base(directory)))


def load_or_distilled(model: Place) -> StoredModel:
    """Load the whole; of bases that were distilled, which have no memory, a model that predicts by them alone.

    Raises:
        ModelError: as `load`, but that distilled bases may lack the memory.
    """

    def read(directory: Path) -> StoredModel:
        base = parsing.read_base(directory)
        if not base.get("distilled", False):
            parsing.read_memory(directory)  # its absence is told
        return _with_or_without_memory(directory, base)

    return steadily(model, read)


def _with_or_without_memory(directory: Path, base: Mapping[str, Any]) -> StoredModel:
    if (directory / manifest.MEMORY).exists():
        content = parsing.read_memory(directory)
        return parsing.parse_model(directory, base, content, content)
    return StoredModel.of_base(parsing.parse_base(directory, base))


def identity(model: Place, *, base_only: bool = False) -> tuple[str, str | None]:
    """Return the generations of the bases and of the memories, if these are asked for, as the manifests name them.

    Raises:
        ModelError: as `load`, as far as the manifests tell.
    """

    def read(directory: Path) -> tuple[str, str | None]:
        base = parsing.read_base(directory)["id"]
        return base, None if base_only else parsing.read_memory(directory)["id"]

    return steadily(model, read, fetching.MANIFESTS)


def n_kept(directory: Path) -> int:
    """Return how many earlier generations of the memories undo can bring back.

    Raises:
        ModelError: there is no memory, or it is damaged or of a newer format.
    """

    def read(local: Path) -> int:
        return len(generations.kept(parsing.read_base(local), parsing.read_memory(local)))

    return steadily(directory, read)


def load_with_rows(model: Place) -> tuple[StoredModel, RowNames]:
    """Load the whole, and which rows its memories hold.

    Raises:
        ModelError: as `load`.
    """

    def read(directory: Path) -> tuple[StoredModel, RowNames]:
        base = parsing.read_base(directory)
        content = parsing.read_memory(directory)
        return parsing.with_rows(directory, base, content, content)

    return steadily(model, read)


def load_with_seen(model: Place) -> tuple[StoredModel, TrainedRows]:
    """Load the whole, and what is kept of the rows that its bases or its memories have seen.

    Raises:
        ModelError: as `load`.
    """

    def read(directory: Path) -> tuple[StoredModel, TrainedRows]:
        base, content = parsing.read_base(directory), parsing.read_memory(directory)
        remembered = parsing.remembered_rows(directory, content)[1]
        trained = parsing.trained_rows(directory, base).with_remembered(remembered)
        return parsing.parse_model(directory, base, content, content), trained

    return steadily(model, read)


def load_for_change(model: Place, back: int = 0) -> tuple[StoredModel, MemoryRows]:
    """Load the whole with the rows that its memories were built of. The directory must be locked against writers.

    Args:
        model: its directory.
        back: which memories: the present ones, or those that undo brings back after that many steps.

    Raises:
        ModelError: as `load`; or the memory was written by an older resmem, which did not keep the residuals of rows.
    """

    def read(directory: Path) -> tuple[StoredModel, MemoryRows]:
        base, content = parsing.read_base(directory), parsing.read_memory(directory)
        return parsing.for_change(directory, base, content, [content, *generations.kept(base, content)][back])

    return steadily(model, read)


def damaged_earlier(directory: Path, error: ModelError) -> ModelError:
    """Return an error of an earlier memory as one that says so, and how to be rid of that."""
    return ModelError(
        f"an earlier memory of '{directory}' that is kept for undo cannot be used: {error.message}",
        "remember or fit-residual with --keep 0 drops it",
    )


def trained_rows(model: Place) -> TrainedRows:
    """Return what is kept of the rows that trained the bases."""

    def read(directory: Path) -> TrainedRows:
        return parsing.trained_rows(directory, parsing.read_base(directory))

    return steadily(model, read, fetching.BASES)


def remembered_hashes(directory: Path) -> NDArray[np.uint64] | None:
    """Return [n] the hashes of the remembered rows; None where there are none, or they cannot be read.

    What replaces a damaged memory counts the rows that come and go as well as it can.
    """
    try:
        return steadily(directory, lambda local: parsing.row_hashes(local, parsing.read_memory(local)))
    except ModelError:
        return None


def seen_hashes(model: Place, *, with_memory: bool) -> NDArray[np.uint64]:
    """Return the distinct hashes of the rows that the base, or also the memory, was fitted on."""

    def read(directory: Path) -> NDArray[np.uint64]:
        manifests = [parsing.read_base(directory)] + ([parsing.read_memory(directory)] if with_memory else [])
        return np.unique(np.concatenate([parsing.row_hashes(directory, content) for content in manifests]))

    return steadily(model, read)


def read_manifest(model: Place, name: str) -> dict[str, Any]:
    """Return what base.json or memory.json says.

    Raises:
        ModelError: it is missing, damaged, or of a newer format.
    """
    read = parsing.read_base if name == manifest.BASE else parsing.read_memory
    return steadily(model, read, fetching.MANIFESTS)


def has_memory(model: Place) -> bool:
    """Whether there is a memory.json; of an object store ModelError if there is no model."""
    if isinstance(model, Path):
        return (model / manifest.MEMORY).exists()
    return steadily(model, has_memory, fetching.MANIFESTS)
