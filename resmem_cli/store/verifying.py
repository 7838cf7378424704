"""Verifying a model directory: everything that loading checks, and what only the whole can show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.places import Place
from resmem_cli.errors import ModelError
from resmem_cli.model import bases, metrics
from resmem_cli.model.residuals import values_of
from resmem_cli.model.resmem import Member
from resmem_cli.store import (
    consistent,
    description,
    fetching,
    generations,
    manifest,
    ownership,
    parsing,
    parts,
    reading,
    trial,
    using,
)
from resmem_cli.store.rows import TrainedRows

_AGAIN = "fit the model again"


@dataclass(frozen=True)
class Verified:
    """What was checked and is sound.

    Attributes:
        n_files, n_bytes: of the parts that the manifests name.
        has_memory: whether there is one; a base alone is sound too.
        n_kept: how many earlier memories undo can bring back.
        leftovers: our folders of parts that no manifest names: of a writer at work, or one that died.
    """

    n_files: int
    n_bytes: int
    has_memory: bool
    n_kept: int
    leftovers: tuple[str, ...]


def verify(model: Place) -> Verified:
    """Check every size, hash, count and link of a model directory, and that its parts belong together.

    Raises:
        ModelError: something is missing, damaged, or does not fit the rest.
    """
    return consistent.steadily(model, _verified, fetching.EVERYTHING)


def _verified(directory: Path) -> Verified:
    base = reading.read_manifest(directory, manifest.BASE)
    _try_bases(directory, base)
    states: list[Mapping[str, Any]] = []
    if (directory / manifest.MEMORY).exists():
        memory = reading.read_manifest(directory, manifest.MEMORY)
        states = [memory, *generations.kept(base, memory)]
        for state in states:
            with nullcontext() if state is memory else _told_as_earlier(directory):
                _check_memory(directory, base, memory, state)
    else:
        using.refuse_unusable(directory, reading.load_base(directory))
    _check_rows(directory, base)
    named = {content["id"]: content["parts"] for content in (base, *states)}
    left = [path.name for path in ownership.leftovers(directory, set(named))]
    sizes = [part["bytes"] for of_one in named.values() for part in of_one.values()]
    return Verified(len(sizes), sum(sizes), bool(states), max(0, len(states) - 1), tuple(left))


@contextmanager
def _told_as_earlier(directory: Path) -> Iterator[None]:
    """Say of what is found to be damaged that it is a memory that is kept for undo."""
    try:
        yield
    except ModelError as error:
        raise reading.damaged_earlier(directory, error) from error


def _check_memory(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Check one generation of memories, the present one or one that is kept for undo."""
    description.check_folds(state)
    model, rows = parsing.with_rows(directory, base, content, state)
    for i, (member, cells) in enumerate(zip(model.resmem.members, rows.cells, strict=True)):
        _check_cells(member, cells, f"memory {i} of '{directory}'")
    if abs(sum(model.resmem.weights) + model.resmem.base_share - 1) > 1e-6:
        raise ModelError(f"the weights of the memories and the base of '{directory}' do not sum to 1", _AGAIN)
    if model.objective not in metrics.objectives(model.base.problem.is_regression):
        raise ModelError(f"the memories of '{directory}' have the unknown objective '{model.objective}'", _AGAIN)
    using.refuse_unusable(directory, model.base, model.resmem)
    if content["format"] > 1:  # what remember and forget read was not kept in format 1
        parsing.for_change(directory, base, content, state)
    _check_rows(directory, state)


def _try_bases(directory: Path, content: Mapping[str, Any]) -> None:
    """Load first, in a separate process, what other libraries read."""
    kinds = [base["estimator"] for base in content["bases"]]
    if not bases.IMPORTABLE.keys().isdisjoint(kinds):
        trial.load_base(directory, sum(part["bytes"] for part in content["parts"].values()))


def _check_rows(directory: Path, content: Mapping[str, Any]) -> None:
    paths = parts.checked(directory, content["id"], content["parts"])
    n_hashes = len(TrainedRows.from_arrays(parts.load_arrays(paths[parts.ROWS])).hashes)
    if n_hashes + content.get("forgotten", 0) != content["rows"]:
        raise ModelError(f"'{directory}' has {n_hashes} hashes for {content['rows']} rows", _AGAIN)


def _check_cells(member: Member, cells: NDArray[np.int64], name: str) -> None:
    memory = member.memory
    n_cells = len(memory.counts)
    if not (
        np.isfinite(values_of(memory.residuals)).all()
        and np.isfinite(memory.counts).all()
        and (memory.counts >= 0).all()
    ):
        raise ModelError(f"{name} holds residuals or counts that are not finite", _AGAIN)
    if len(np.unique(cells)) != n_cells:
        raise ModelError(f"{name} has cells without rows", _AGAIN)
    if not np.isfinite(memory.index.points_at(np.arange(min(n_cells, 1)))).all():
        raise ModelError(f"{name} holds points that are not finite", _AGAIN)
