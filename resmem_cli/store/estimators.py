"""Estimators of scikit-learn as bytes, through skops: no pickle, and no type that is not on our list."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from resmem_cli.errors import ModelError

# What histogram gradient boosting is made of, beyond what skops itself knows to be safe. Never what a file asks for.
TRUSTED_TYPES = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
SKOPS = "skops"  # the suffix of its files
_EPOCH = (1980, 1, 1, 0, 0, 0)


def to_bytes(estimator: Any) -> bytes:
    """Return an estimator as a skops file; equal estimators give equal bytes."""
    import skops.io

    return _canonical(skops.io.dumps(estimator))


def from_bytes(data: bytes, name: str) -> Any:
    """Return the estimator in a skops file called `name`.

    Raises:
        ModelError: the file is damaged, or names a type that is not trusted.
    """
    import skops.io

    try:
        _refuse_compressed(data)
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES))
        if foreign:
            raise ModelError(
                f"{name} asks for the type {foreign[0]}, which is not one that resmem stores",
                "do not use this model unless you know who made it",
            )
        return skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name} cannot be read as an estimator ({type(error).__name__}: {error})", "run fit-base again"
        ) from error


def _refuse_compressed(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, which ours are not")


def _canonical(data: bytes) -> bytes:
    """Name the objects by their order instead of their address in memory, and date the file to nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    order: dict[int, int] = {}
    schema = _renumbered(json.loads(entries.pop("schema.json")), order)
    renamed = {
        f"{order[int(name.removesuffix('.npy'))]}.npy" if name.removesuffix(".npy").isdigit() else name: content
        for name, content in entries.items()
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name])
        archive.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema, indent=1))
    return out.getvalue()


def _renumbered(node: Any, order: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_renumbered(item, order) for item in node]
    if not isinstance(node, dict):
        return node
    renumbered = dict(node)
    if "__id__" in node:
        renumbered["__id__"] = order.setdefault(node["__id__"], len(order))
    if str(node.get("file", "")).removesuffix(".npy").isdigit():
        number = order.setdefault(int(node["file"].removesuffix(".npy")), len(order))
        renumbered["file"] = f"{number}.npy"
    return {key: value if key in ("__id__", "file") else _renumbered(value, order) for key, value in renumbered.items()}
