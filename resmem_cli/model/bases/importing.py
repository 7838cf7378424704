"""Which kind of model a file holds: told by its first bytes, and by its name only where they do not say."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePath

from resmem_cli.errors import UsageError

LIGHTGBM, XGBOOST, CATBOOST, ONNX = "lightgbm", "xgboost", "catboost", "onnx"
PICKLE, SKOPS, SKLEARN = "pickle", "skops", "sklearn"

_ZIP = b"PK\x03\x04"
_PICKLE_SUFFIXES = {".joblib", ".pkl", ".pickle"}
# What joblib compresses with: zlib, gzip, bz2, xz, lzma, lz4.
_COMPRESSED = (b"\x78", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
# A key's length in UBJSON is an integer of one of these types; JSON's keys begin with a quotation mark.
_UBJ_INTEGERS = b"iUIlL"
# Of ONNX's protobuf message: field 1 (ir_version, a number), and what may follow it, fields 2 to 8.
_IR_VERSION = 0x08
_AFTER_IR_VERSION = b"\x12\x1a\x22\x28\x32\x3a\x42"


def recognise(data: bytes, name: str) -> str:
    """Return what a file called `name` holds: "lightgbm", "xgboost", "catboost", "onnx", "skops" or "pickle".

    Raises:
        UsageError: none of these.
    """
    suffixes = {suffix.lower() for suffix in PurePath(name).suffixes}
    if _is_lightgbm(data):
        return LIGHTGBM
    if _is_xgboost(data):
        return XGBOOST
    if data.startswith(b"CBM1"):
        return CATBOOST
    if data.startswith(_ZIP) and (".skops" in suffixes or _has_schema(data)):
        return SKOPS
    if _is_pickle(data) or (suffixes & _PICKLE_SUFFIXES and data.startswith(_COMPRESSED)):
        return PICKLE
    if _is_onnx(data) or ".onnx" in suffixes:
        return ONNX
    raise UsageError(
        f"'{name}' is not a model file that can be imported",
        "give LightGBM's text, XGBoost's JSON or UBJSON, CatBoost's cbm, ONNX, or a scikit-learn estimator saved with "
        "skops or pickle",
    )


def _is_lightgbm(data: bytes) -> bool:
    lines = data[:200].split(b"\n")
    return lines[0].strip() == b"tree" and any(line.startswith(b"version=") for line in lines)


def _is_xgboost(data: bytes) -> bool:
    begun = data[:200].lstrip()
    if not begun.startswith(b"{"):
        return False
    is_ubj = begun[1:2] != b"" and begun[1:2] in _UBJ_INTEGERS
    return b"learner" in data if is_ubj else b'"learner"' in data


def _has_schema(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "schema.json" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _is_pickle(data: bytes) -> bool:
    """Whether it begins as pickles of protocol 2 and later do."""
    return data[:1] == b"\x80" and 2 <= int.from_bytes(data[1:2]) <= 5


def _is_onnx(data: bytes) -> bool:
    return len(data) > 2 and data[0] == _IR_VERSION and 0 < data[1] < 0x80 and data[2] in _AFTER_IR_VERSION
