"""Arrays that do not belong together, with hashes made right: refused by verify, of whichever base or space."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resmem_cli.errors import ModelError
from resmem_cli.store import parts, verifying
from tests.store.conftest import fit
from tests.store.test_damage import part, replace_part

Array = NDArray[Any]
BASES = ("linear", "discriminant", "mlp", "network", "constant", "boosting", "poisson")
SPACES = ("features", "sensitivity", "model", "learned:diagonal", "learned:linear", "learned:mlp", "learned:periodic")
OTHER: Mapping[str, Callable[[Array], Array]] = {
    "shorter": lambda array: array[:-1],
    "longer": lambda array: np.concatenate([array, array[:1]]),
    "flat": lambda array: array.reshape(-1) if array.ndim > 1 else array[None],
    "of texts": lambda array: array.astype("U8"),
    "complex": lambda array: array.astype(complex),
    "halves": lambda array: array.astype(np.float16),
    "bytes": lambda array: np.frombuffer(array.tobytes(), np.uint8),
}

# A network of two classes that were one in training has one output too.
HARMLESS = {("shorter", "classes")}


def damaged(arrays: Mapping[str, Array], name: str) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield copies of some arrays of which one is missing, or another."""
    yield "missing", {key: array for key, array in arrays.items() if key != name}
    if arrays[name].size:
        for what, change in OTHER.items():
            is_same = (what == "flat" and arrays[name].size == 1) or (
                what == "bytes" and arrays[name].dtype == np.uint8
            )
            if not is_same and (arrays[name].ndim or what not in ("shorter", "longer")):
                yield what, {**arrays, name: change(arrays[name])}
        if arrays[name].dtype.kind == "f":
            yield "unknown", {**arrays, name: np.full_like(arrays[name], np.nan)}


def archive(arrays: Mapping[str, Array]) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **dict(arrays))
    return out.getvalue()


def is_refused(model: Path) -> bool:
    try:
        verifying.verify(model)
    except ModelError:
        return True
    return False


def refused(whole: Path, tmp_path: Path, which: str, file: str, optional: frozenset[str] = frozenset()) -> None:
    """Assert that whatever of a part is missing or another is refused, but for what older formats did not have."""
    arrays = parts.load_arrays(part(whole, file, which))
    for name in arrays:
        for what, others in damaged(arrays, name):
            if (what == "missing" and name in optional) or (what, name) in HARMLESS:
                continue
            model = tmp_path / "damaged"
            shutil.copytree(whole, model)
            replace_part(model, file, archive(others), which)
            assert is_refused(model), f"{file}: {name} is {what}, and verified"
            shutil.rmtree(model)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("estimator", BASES)
def test_the_arrays_of_every_base_belong_together(
    saved: Callable[..., Path], tmp_path: Path, estimator: str, n_classes: int
) -> None:
    refused(saved(estimator, n_classes=n_classes), tmp_path, "base.json", "arrays.npz", frozenset({"limits"}))


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("name", SPACES)
def test_the_arrays_of_every_space_belong_together(
    saved: Callable[..., Path], tmp_path: Path, name: str, n_classes: int
) -> None:
    # A trend, and the scale of τ, came with later formats.
    optional = frozenset({"encoder_trend", "encoder_log_tau"})
    whole = saved("mlp", n_classes=n_classes, representation=name)
    refused(whole, tmp_path, "memory.json", "representation.npz", optional)


@pytest.mark.parametrize("n_classes", [0, 3])
def test_the_arrays_of_a_memory_belong_together(saved: Callable[..., Path], tmp_path: Path, n_classes: int) -> None:
    whole = saved("linear", n_classes=n_classes)
    refused(whole, tmp_path, "memory.json", "arrays.npz")
    # Without the residuals of rows it is of format 1; without ids, of rows that have none.
    refused(whole, tmp_path, "memory.json", "rows.npz", frozenset({"residuals", "id_ends"}))
    refused(whole, tmp_path, "base.json", "rows.npz")


def test_the_arrays_of_a_memory_of_very_many_classes_belong_together(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    whole = saved("discriminant", n_classes=110, n_rows=330)
    assert "residual_classes" in parts.load_arrays(part(whole, "arrays.npz", "memory.json"))
    refused(whole, tmp_path, "memory.json", "arrays.npz")
    refused(whole, tmp_path, "memory.json", "rows.npz", frozenset({"id_ends"}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("id_ends", lambda ends: ends[::-1]),
        ("id_ends", lambda ends: ends - 1),
        ("id_ends", lambda ends: np.where(ends == ends[0], -1, ends)),
        ("id_bytes", lambda data: np.full_like(data, 0xFF)),
        ("id_bytes", lambda data: np.where(np.arange(len(data)) == 0, 0xA9, data).astype(np.uint8)),
        ("cells", lambda cells: cells - 1),
        ("cells", lambda cells: cells + 1),
        ("cells", np.zeros_like),
    ],
)
def test_ids_and_cells_are_where_they_say(
    copied: Callable[..., Path], name: str, change: Callable[[Array], Array]
) -> None:
    model = copied("linear")
    arrays = parts.load_arrays(part(model, "rows.npz", "memory.json"))
    replace_part(model, "rows.npz", archive({**arrays, name: change(arrays[name])}), "memory.json")
    with pytest.raises(ModelError):
        verifying.verify(model)


def test_parts_of_another_model_are_refused(saved: Callable[..., Path], tmp_path: Path) -> None:
    """Each is sound for itself, and of rows or classes that this model does not have."""
    for estimator in BASES:
        for other in ({"n_classes": 2}, {"n_classes": 0}):
            model = tmp_path / "model"
            shutil.copytree(saved(estimator, n_classes=3), model)
            theirs = saved(estimator, **other)
            for name in json.loads((model / "base.json").read_text())["parts"]:
                if name != "rows.npz":
                    replace_part(model, name, part(theirs, name).read_bytes())
            with pytest.raises(ModelError):
                verifying.verify(model)
            shutil.rmtree(model)


def test_what_is_not_finite_is_found_by_verifying(copied: Callable[..., Path]) -> None:
    model = copied("linear")
    arrays = parts.load_arrays(part(model, "arrays.npz"))
    replace_part(model, "arrays.npz", archive({**arrays, "coefficients": np.full_like(arrays["coefficients"], 1e308)}))
    with pytest.raises(ModelError, match="predicts values that are not finite"):
        verifying.verify(model)


def test_a_memory_in_a_representation_that_its_base_has_no_more_is_refused(copied: Callable[..., Path]) -> None:
    model = copied("mlp", representation="model")
    others = fit("constant").save(model.parent / "others")
    content = json.loads((model / "base.json").read_text())
    content["bases"] = json.loads((others / "base.json").read_text())["bases"]
    (model / "base.json").write_text(json.dumps(content))
    replace_part(model, "arrays.npz", part(others, "arrays.npz").read_bytes())
    with pytest.raises(ModelError, match="cannot be used: this base has no representation of its own"):
        verifying.verify(model)
