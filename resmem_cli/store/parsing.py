"""From the manifests and parts of a directory to its objects: what belongs together is checked before it is parsed.

What is damaged raises whatever its content makes of Python; `consistent.steadily`, which calls all of this, says so.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.schema import Schema
from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model import bases, metrics, residuals
from resmem_cli.model.arrays import HASH, SINGLE, WHOLE
from resmem_cli.model.arrays import stored as as_stored
from resmem_cli.model.bases import Base, BaseSpec
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.memory.memory import Contents
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import (
    description,
    estimators,
    files,
    generations,
    history,
    manifest,
    members,
    memory_files,
    older_formats,
    parts,
)
from resmem_cli.store.rows import MemoryRows, RowNames, TrainedRows, category_places
from resmem_cli.store.stored import StoredBase, StoredModel, problem_of


def read_base(directory: Path) -> dict[str, Any]:
    """Return what base.json says; ModelError if there is none, or it is no such file."""
    if directory.is_file():
        raise ModelError(f"'{directory}' is a file, not a model directory", "name the directory with --model")
    if not directory.is_dir():
        raise ModelError(
            f"there is no model directory '{directory}'",
            f"make one: resmem fit-base TRAIN --target COLUMN --model {directory}",
        )
    try:
        content = manifest.read(directory / manifest.BASE)
    except FileNotFoundError:
        raise ModelError(
            f"the directory '{directory}' holds no base model",
            f"fit one: resmem fit-base TRAIN --target COLUMN --model {directory}",
        ) from None
    description.check_base(content)
    return content


def read_memory(directory: Path) -> dict[str, Any]:
    """Return what memory.json says; ModelError if there is none, or it is no such file."""
    try:
        content = manifest.read(directory / manifest.MEMORY)
    except FileNotFoundError:
        if read_base(directory).get("distilled", False):
            raise ModelError(
                f"the model '{directory}' is distilled, and has no memory", "predict with --base-only"
            ) from None
        raise ModelError(
            f"the model '{directory}' has no memory yet",
            f"run: resmem fit-residual TRAIN --model {directory} (predict --base-only works without it)",
        ) from None
    description.check_memory(content)
    return content


def parse_base(directory: Path, content: Mapping[str, Any]) -> StoredBase:
    """Return the bases that base.json describes."""
    schema = Schema.from_json(content["schema"])
    paths = parts.checked(directory, content["id"], content["parts"])
    problem = problem_of(schema, content["seed"])
    pairs = [_one_base(directory, each, paths, i) for i, each in enumerate(content["bases"])]
    specs, fitted = zip(*pairs, strict=True)
    for i, base in enumerate(fitted):
        if not base.belongs(problem, schema.width):
            raise ValueError(f"base {i} does not match the schema")
    weights = tuple(each["weight"] for each in content["bases"])
    return StoredBase(
        content["id"],
        schema,
        problem,
        specs,
        fitted,
        content["rows"],
        content.get("forgotten", 0),
        weights,
        content.get("distilled", False),
    )


def _one_base(
    directory: Path, content: Mapping[str, Any], paths: Mapping[str, Path], position: int
) -> tuple[BaseSpec, Base]:
    if content["estimator"] not in bases.KINDS:
        raise ModelError(
            f"the base of '{directory}' is of an unknown kind, '{content['estimator']}'", "upgrade resmem-cli"
        )
    spec = description.spec_of(content)
    kind = bases.KINDS[spec.estimator]
    arrays = parts.load_arrays(paths[parts.numbered(parts.ARRAYS, position)])
    stored_as, estimator = kind.stored_as or older_formats.stored_as(spec.estimator, arrays), None
    if stored_as is not None:
        path = paths[parts.numbered(f"{parts.ESTIMATOR}.{stored_as}", position)]
        data = files.read(path)
        estimator = estimators.from_bytes(data, str(path)) if stored_as == estimators.SKOPS else data
    try:
        return spec, bases.restore(spec.estimator, arrays, estimator)
    except UsageError as error:
        if kind.package is not None and not bases.is_installed(kind.package):
            raise
        raise ModelError(f"a base of '{directory}' cannot be loaded: {error.message}", error.hint) from error


def parse_model(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> StoredModel:
    """Return one generation of the memories with its bases; the arguments are those of `with_rows`."""
    if not generations.belongs(base, state):
        if read_base(directory)["id"] != base["id"]:  # a writer came between
            raise FileNotFoundError(errno.ENOENT, "the bases", str(directory / manifest.BASE))
        raise ModelError(
            f"the memory of '{directory}' belongs to another base (the base was fitted again since)",
            f"run: resmem fit-residual TRAIN --model {directory}",
        )
    stored = parse_base(directory, base)
    paths = parts.checked(directory, state["id"], state["parts"])
    if any(said["base"] not in range(len(stored.bases)) for said in state["memories"]):
        raise memory_files.misfit(directory)
    loaded = [members.load(directory, said, paths, i, stored.problem) for i, said in enumerate(state["memories"])]
    calibration = None
    if parts.CALIBRATION in paths:
        calibration = Calibration.from_arrays(parts.load_arrays(paths[parts.CALIBRATION]))
    objective = state["objective"] or metrics.objectives(stored.problem.is_regression)[0]
    resmem = ResMem(stored.bases, tuple(loaded), calibration, stored.weights, state["base_share"])
    kept = frozenset(each["number"] for each in generations.kept(base, content))
    return StoredModel(stored, resmem, objective, state["folds"], state["id"], history.known(content), kept)


def with_rows(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[StoredModel, RowNames]:
    """Return one generation of the memories with its bases, and which rows it holds.

    Args:
        directory: of the model.
        base: what base.json says.
        content: what memory.json says.
        state: what that says of the generation.
    """
    return parse_model(directory, base, content, state), remembered_rows(directory, state)[0]


def for_change(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[StoredModel, MemoryRows]:
    """Return a generation of the memories that can be changed, and its rows; the arguments are those of `with_rows`."""
    model = parse_model(directory, base, content, state)
    names, rows, of_each = remembered_rows(directory, state)
    changeable = []
    for member, said, cells, arrays in zip(model.resmem.members, state["memories"], names.cells, of_each, strict=True):
        own, points = arrays.get("residuals"), arrays.get("points")
        if own is None or len(own) != len(cells) or (points is None) != (said.get("max_cells") is None):
            raise ModelError(
                f"the memory of '{directory}' was written by an older resmem, which kept no residuals of rows",
                "run fit-residual again",
            )
        if (residuals.CLASSES in arrays) != member.memory.is_sparse:
            raise memory_files.misfit(directory)
        held = residuals.from_arrays(arrays, len(cells), model.base.problem.n_classes)
        if points is not None:
            as_stored({"points": points}, "points", SINGLE, len(cells), said["columns"])
        contents = Contents(cells, held, points)
        changeable.append(replace(member, memory=replace(member.memory, contents=contents)))
    for codes in (rows.codes, trained_rows(directory, base).codes):
        if codes is not None:
            _check_codes(codes, model.base.schema)
    calibration = model.resmem.calibration
    held_out = None if calibration is None else calibration.rows
    if held_out is not None and not np.isin(held_out, np.arange(len(rows.hashes))).all():
        raise memory_files.misfit(directory)
    return model._replace(resmem=replace(model.resmem, members=tuple(changeable))), rows


def remembered_rows(
    directory: Path, content: Mapping[str, Any]
) -> tuple[RowNames, MemoryRows, list[dict[str, NDArray[Any]]]]:
    """Return which rows the cells hold, what is kept of each row, and per memory residuals and points, if kept."""
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    arrays = parts.load_arrays(paths[parts.ROWS])
    names = [parts.of_memory("cells", i) for i in range(len(content["memories"]))]
    if any(len(arrays[name]) != content["rows"] for name in ("hashes", *names, *arrays.keys() & {"id_ends", "weight"})):
        raise memory_files.misfit(directory)
    cells = tuple(as_stored(arrays, name, WHOLE, content["rows"]) for name in names)
    for i, (own, said) in enumerate(zip(cells, content["memories"], strict=True)):
        if not 0 <= own.min() <= own.max() < said["cells"]:
            raise ModelError(
                f"memory {i} of '{directory}' assigns rows to cells that do not exist", "fit the model again"
            )
    rows = MemoryRows.from_arrays(arrays)
    kept = ("residuals", residuals.CLASSES, "points")
    of_each = [
        {name: arrays[parts.of_memory(name, i)] for name in kept if parts.of_memory(name, i) in arrays}
        for i in range(len(cells))
    ]
    return RowNames(cells, rows.ids), rows, of_each


def _check_codes(codes: NDArray[Any], schema: Schema) -> None:
    counts = [count for _, count in category_places(schema)]
    if codes.shape[1] != len(counts) or (codes > np.array(counts)).any():
        raise ValueError("the categories of the rows are not those of the schema")


def row_hashes(directory: Path, content: Mapping[str, Any]) -> NDArray[np.uint64]:
    """Return [n] the hashes of the rows that a manifest describes."""
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    return as_stored(parts.load_arrays(paths[parts.ROWS]), "hashes", HASH, None)


def trained_rows(directory: Path, content: Mapping[str, Any]) -> TrainedRows:
    """Return what is kept of the rows that trained the bases of base.json."""
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    return TrainedRows.from_arrays(parts.load_arrays(paths[parts.ROWS]))
