"""Loading a model directory: what belongs together, checked before it is parsed."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.places import Place
from resmem_cli.data.schema import Schema
from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model import bases, metrics, residuals
from resmem_cli.model.arrays import HASH, SINGLE, WHOLE
from resmem_cli.model.arrays import stored as as_stored
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.memory.memory import Contents
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import (
    description,
    estimators,
    fetching,
    files,
    generations,
    history,
    manifest,
    members,
    memory_files,
    older_formats,
    parts,
)
from resmem_cli.store.history import Entry
from resmem_cli.store.rows import MemoryRows, RowNames, TrainedRows, category_places

_RETRIES = 5

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class StoredBase:
    """The bases as they lie in their directory.

    Attributes:
        id: of their generation; a memory names the bases it belongs to by it.
        schema, problem: what they read, and what they learned.
        specs, bases: how to fit them anew, and the fitted models.
        n_rows: how many rows trained them.
        n_forgotten: of how many of these it is not known any more which they were.
        weights: of each in the mean that is the base to beat; without any, that is the first.
        is_distilled: whether they learned what a model predicts, and not targets.
    """

    id: str
    schema: Schema
    problem: Problem
    specs: tuple[BaseSpec, ...]
    bases: tuple[Base, ...]
    n_rows: int
    n_forgotten: int = 0
    weights: tuple[float, ...] = ()
    is_distilled: bool = False

    @property
    def is_thread_safe(self) -> bool:
        """Whether several threads may ask them at the same time."""
        return all(base.is_thread_safe for base in self.bases)


class StoredModel(NamedTuple):
    """A model as it lies in its directory.

    Attributes:
        base: the bases.
        resmem: the model; its memories have contents if it was loaded for a change.
        objective: the metric that was chosen by.
        folds: what memory.json says of the folds.
        id: of the memories' generation; "" of a model that was never stored.
        history: how the memory came about, as memory.json says it.
        kept: the numbers of the changes that made the memories that undo can bring back.
    """

    base: StoredBase
    resmem: ResMem
    objective: str
    folds: Mapping[str, Any]
    id: str = ""
    history: Sequence[Entry] = ()
    kept: frozenset[int] = frozenset()

    @classmethod
    def of_base(cls, base: StoredBase) -> StoredModel:
        """Return the model without memory, which predicts by the base alone."""
        resmem = ResMem(base.bases, (), base_weights=base.weights, base_share=1.0)
        return cls(base, resmem, metrics.objectives(base.problem.is_regression)[0], {})


def load_base(model: Place) -> StoredBase:
    """Load the base alone.

    Raises:
        ModelError: there is none, or it is damaged or of a newer format.
    """
    return steadily(model, lambda directory: _base(directory, _read_base(directory)), fetching.BASES)


def load(model: Place) -> StoredModel:
    """Load the base with the memory that belongs to it.

    Raises:
        ModelError: either is missing, damaged or of a newer format, or the memory belongs to another base.
    """

    def read(directory: Path) -> StoredModel:
        base = _read_base(directory)  # its absence is told first
        content = _read_memory(directory)
        return _model(directory, base, content, content)

    return steadily(model, read)


def load_with_or_without_memory(model: Place) -> StoredModel:
    """Load the whole; of a directory without memory, a model that predicts by the base alone.

    Raises:
        ModelError: as `load`, but that the memory may be missing.
    """
    return steadily(model, lambda directory: _with_or_without_memory(directory, _read_base(directory)))


def load_or_distilled(model: Place) -> StoredModel:
    """Load the whole; of bases that were distilled, which have no memory, a model that predicts by them alone.

    Raises:
        ModelError: as `load`, but that distilled bases may lack the memory.
    """

    def read(directory: Path) -> StoredModel:
        base = _read_base(directory)
        if not base.get("distilled", False):
            _read_memory(directory)  # its absence is told
        return _with_or_without_memory(directory, base)

    return steadily(model, read)


def _with_or_without_memory(directory: Path, base: Mapping[str, Any]) -> StoredModel:
    if (directory / manifest.MEMORY).exists():
        content = _read_memory(directory)
        return _model(directory, base, content, content)
    return StoredModel.of_base(_base(directory, base))


def identity(model: Place, *, base_only: bool = False) -> tuple[str, str | None]:
    """Return the generations of the bases and of the memories, if these are asked for, as the manifests name them.

    Raises:
        ModelError: as `load`, as far as the manifests tell.
    """

    def read(directory: Path) -> tuple[str, str | None]:
        base = _read_base(directory)["id"]
        return base, None if base_only else _read_memory(directory)["id"]

    return steadily(model, read, fetching.MANIFESTS)


def n_kept(directory: Path) -> int:
    """Return how many earlier generations of the memories undo can bring back.

    Raises:
        ModelError: there is no memory, or it is damaged or of a newer format.
    """
    return steadily(directory, lambda local: len(generations.kept(_read_base(local), _read_memory(local))))


def load_with_rows(model: Place) -> tuple[StoredModel, RowNames]:
    """Load the whole, and which rows its memories hold.

    Raises:
        ModelError: as `load`.
    """

    def read(directory: Path) -> tuple[StoredModel, RowNames]:
        base = _read_base(directory)
        content = _read_memory(directory)
        return with_rows(directory, base, content, content)

    return steadily(model, read)


def with_rows(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[StoredModel, RowNames]:
    """Return one generation of the memories with its bases, and which rows it holds; to be called by `steadily`.

    Args:
        directory: of the model.
        base: what base.json says.
        content: what memory.json says.
        state: what that says of the generation.
    """
    return _model(directory, base, content, state), _remembered(directory, state)[0]


def load_with_seen(model: Place) -> tuple[StoredModel, TrainedRows]:
    """Load the whole, and what is kept of the rows that its bases or its memories have seen.

    Raises:
        ModelError: as `load`.
    """

    def read(directory: Path) -> tuple[StoredModel, TrainedRows]:
        base, content = _read_base(directory), _read_memory(directory)
        remembered = _remembered(directory, content)[1]
        return _model(directory, base, content, content), _trained_rows(directory, base).with_remembered(remembered)

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
        base, content = _read_base(directory), _read_memory(directory)
        return for_change(directory, base, content, [content, *generations.kept(base, content)][back])

    return steadily(model, read)


def for_change(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[StoredModel, MemoryRows]:
    """Return one generation of the memories as `load_for_change` does; the arguments are those of `with_rows`."""
    model = _model(directory, base, content, state)
    names, rows, of_each = _remembered(directory, state)
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
    for codes in (rows.codes, _trained_rows(directory, base).codes):
        if codes is not None:
            _check_codes(codes, model.base.schema)
    calibration = model.resmem.calibration
    held_out = None if calibration is None else calibration.rows
    if held_out is not None and not np.isin(held_out, np.arange(len(rows.hashes))).all():
        raise memory_files.misfit(directory)
    return model._replace(resmem=replace(model.resmem, members=tuple(changeable))), rows


def damaged_earlier(directory: Path, error: ModelError) -> ModelError:
    """Return an error of an earlier memory as one that says so, and how to be rid of that."""
    return ModelError(
        f"an earlier memory of '{directory}' that is kept for undo cannot be used: {error.message}",
        "remember or fit-residual with --keep 0 drops it",
    )


def trained_rows(model: Place) -> TrainedRows:
    """Return what is kept of the rows that trained the bases."""
    return steadily(model, lambda directory: _trained_rows(directory, _read_base(directory)), fetching.BASES)


def remembered_hashes(directory: Path) -> NDArray[np.uint64] | None:
    """Return [n] the hashes of the remembered rows; None where there are none, or they cannot be read.

    What replaces a damaged memory counts the rows that come and go as well as it can.
    """
    try:
        return steadily(directory, lambda local: _row_hashes(local, _read_memory(local)))
    except ModelError:
        return None


def seen_hashes(model: Place, *, with_memory: bool) -> NDArray[np.uint64]:
    """Return the distinct hashes of the rows that the base, or also the memory, was fitted on."""

    def read(directory: Path) -> NDArray[np.uint64]:
        manifests = [_read_base(directory)] + ([_read_memory(directory)] if with_memory else [])
        return np.unique(np.concatenate([_row_hashes(directory, content) for content in manifests]))

    return steadily(model, read)


def read_manifest(model: Place, name: str) -> dict[str, Any]:
    """Return what base.json or memory.json says.

    Raises:
        ModelError: it is missing, damaged, or of a newer format.
    """
    read = _read_base if name == manifest.BASE else _read_memory
    return steadily(model, read, fetching.MANIFESTS)


def has_memory(model: Place) -> bool:
    """Whether there is a memory.json; of an object store ModelError if there is no model."""
    if isinstance(model, Path):
        return (model / manifest.MEMORY).exists()
    return steadily(model, has_memory, fetching.MANIFESTS)


def steadily(model: Place, read: Callable[[Path], Loaded], needed: int = fetching.PRESENT) -> Loaded:
    """Read again if a part is gone: a writer has replaced the generation between its manifest and its parts.

    Args:
        model: a directory, or one in an object store, as much of which as is `needed` is then fetched.
        read: reads the directory that it is given.
        needed: as of `fetching.fetched`.
    """
    for attempt in range(_RETRIES):
        time.sleep(0.1 * attempt)
        try:
            with guarded(model), _at_hand(model, needed) as directory:
                return read(directory)
        except FileNotFoundError as error:
            if attempt == _RETRIES - 1:
                raise ModelError(
                    f"the model directory '{model}' lacks {error.filename}", "fit the model again"
                ) from error
    raise AssertionError("unreachable")


def _at_hand(model: Place, needed: int) -> AbstractContextManager[Path]:
    return nullcontext(model) if isinstance(model, Path) else fetching.fetched(model, needed)


@contextmanager
def guarded(directory: Place) -> Iterator[None]:
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
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
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
        content = manifest.read(directory / manifest.BASE)
    except FileNotFoundError:
        raise ModelError(
            f"the directory '{directory}' holds no base model",
            f"fit one: resmem fit-base TRAIN --target COLUMN --model {directory}",
        ) from None
    description.check_base(content)
    return content


def _read_memory(directory: Path) -> dict[str, Any]:
    try:
        content = manifest.read(directory / manifest.MEMORY)
    except FileNotFoundError:
        raise ModelError(
            f"the model '{directory}' has no memory yet",
            f"run: resmem fit-residual TRAIN --model {directory} (predict --base-only works without it)",
        ) from None
    description.check_memory(content)
    return content


def _base(directory: Path, content: Mapping[str, Any]) -> StoredBase:
    schema = Schema.from_json(content["schema"])
    paths = parts.checked(directory, content["id"], content["parts"])
    problem = Problem(
        schema.n_categories,
        len(schema.target.classes),
        content["seed"],
        schema.vectors,
        schema.n_levels,
        schema.encoded_columns,
    )
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


def _model(
    directory: Path, base: Mapping[str, Any], content: Mapping[str, Any], state: Mapping[str, Any]
) -> StoredModel:
    if not generations.belongs(base, state):
        if _read_base(directory)["id"] != base["id"]:  # a writer came between
            raise FileNotFoundError(errno.ENOENT, "the bases", str(directory / manifest.BASE))
        raise ModelError(
            f"the memory of '{directory}' belongs to another base (the base was fitted again since)",
            f"run: resmem fit-residual TRAIN --model {directory}",
        )
    stored = _base(directory, base)
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


def _remembered(
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


def _row_hashes(directory: Path, content: Mapping[str, Any]) -> NDArray[np.uint64]:
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    return as_stored(parts.load_arrays(paths[parts.ROWS]), "hashes", HASH, None)


def _trained_rows(directory: Path, content: Mapping[str, Any]) -> TrainedRows:
    paths = parts.checked(directory, content["id"], {parts.ROWS: content["parts"][parts.ROWS]})
    return TrainedRows.from_arrays(parts.load_arrays(paths[parts.ROWS]))
