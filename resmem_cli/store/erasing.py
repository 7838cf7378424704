"""Erasing rows from the bases of a model directory: their hashes and ids, and categories that only they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Schema
from resmem_cli.model import bases
from resmem_cli.model.bases import BaseSpec
from resmem_cli.store import description, generations, manifest, parts
from resmem_cli.store.rows import MemoryRows, TrainedRows
from resmem_cli.store.stored import StoredBase

_LISTS = ("categories", "levels")  # of a column, whose texts may be erased
# In the place of a category that is erased: no value is the empty text, which every format reads as missing.
_ERASED = ""


def forget_in_base(
    directory: Path, goes: NDArray[np.bool_], gone: Sequence[MemoryRows], left: Sequence[MemoryRows]
) -> int:
    """Write a new generation of the bases that knows nothing of some rows, and return how many of them trained it.

    The memory that is there still belongs to it: between this and a new memory, readers find both.

    Args:
        directory: the model's.
        goes: [n] which of the rows that trained the bases are forgotten.
        gone: the rows that every generation of the memories forgets.
        left: those that it keeps.
    """
    content = manifest.read(directory / manifest.BASE)
    paths = parts.checked(directory, content["id"], content["parts"])
    known = TrainedRows.from_arrays(parts.load_arrays(paths[parts.ROWS]))
    stays, n_gone = known.take(~goes), int(goes.sum())
    specs = [description.spec_of(base) for base in content["bases"]]
    is_ours = _are_ours(specs, is_distilled=content.get("distilled", False))
    erased = _erased(known, goes, gone=gone, left=left) if is_ours else []
    if n_gone or erased:
        with parts.writing(directory) as folder:
            for name, path in paths.items():
                if name != parts.ROWS:
                    parts.link(path, folder / name)
            parts.save_arrays(folder / parts.ROWS, stays.to_arrays())
            kept = {name: value for name, value in content.items() if name not in manifest.STAMPED}
            kept["forgotten"] = content.get("forgotten", 0) + n_gone
            kept["was"] = [*content.get("was", []), content["id"]]
            kept["schema"] = _without(content["schema"], erased)
            placed = generations.placed(folder, directory, kept)
            generations.replace(directory / manifest.BASE, placed)
    return n_gone


def forgotten(
    stored: StoredBase,
    known: TrainedRows,
    goes: NDArray[np.bool_],
    *,
    gone: Sequence[MemoryRows],
    left: Sequence[MemoryRows],
) -> tuple[StoredBase, TrainedRows]:
    """Return bases that know nothing of some rows, and what is kept of the others that trained them.

    Args:
        stored: the bases.
        known: what is kept of the rows that trained them.
        goes: [n] which of these are forgotten.
        gone: the rows that every generation of the memories forgets.
        left: those that it keeps.
    """
    is_ours = _are_ours(stored.specs, is_distilled=stored.is_distilled)
    erased = _erased(known, goes, gone=gone, left=left) if is_ours else []
    schema = Schema.from_json(_without(stored.schema.to_json(), erased))
    return replace(stored, schema=schema, n_forgotten=stored.n_forgotten + int(goes.sum())), known.take(~goes)


def _are_ours(specs: Sequence[BaseSpec], *, is_distilled: bool) -> bool:
    """Whether no base is an imported model, which may have categories in its own file."""
    return is_distilled or all(spec.can_refit or spec.estimator == bases.COLUMNS for spec in specs)


def _erased(
    known: TrainedRows,
    goes: NDArray[np.bool_],
    *,
    gone: Sequence[MemoryRows],
    left: Sequence[MemoryRows],
) -> list[tuple[int, int]]:
    """Return the categories and levels that only forgotten rows have: which column of `category_codes`, and which code.

    None if it is not known which categories every row has.
    """
    of_trained = known.codes is not None or len(known.hashes) == 0
    if not (of_trained and all(rows.codes is not None for rows in left)):
        return []
    return _only_in(known.take(goes), *gone, others=(known.take(~goes), *left))


def _only_in(*rows: MemoryRows | TrainedRows, others: Sequence[MemoryRows | TrainedRows]) -> list[tuple[int, int]]:
    """Return the categories and levels that only `rows` have: which column of `category_codes`, and which code."""
    erased, kept = ([part.codes for part in group if part.codes is not None] for group in (rows, others))
    n_columns = erased[0].shape[1] if erased else 0
    categories = []
    for column in range(n_columns):
        gone, left = (np.concatenate([codes[:, column] for codes in group]) for group in (erased, kept))
        categories += [(column, code - 1) for code in np.setdiff1d(gone, left).tolist() if code > 0]
    return categories


def _without(schema: Mapping[str, Any], erased: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a stored schema without the texts of some categories, whose codes stay: the bases know nothing else."""
    columns = [{**each, **{name: [*each[name]] for name in _LISTS if name in each}} for each in schema["columns"]]
    categories = [column["categories"] for column in columns if column["kind"] == Kind.CATEGORY.value]
    lists = [*categories, *(column["levels"] for column in columns if column.get("levels"))]
    for column, code in erased:
        lists[column][code] = _ERASED
    return {**schema, "columns": columns}
