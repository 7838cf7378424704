"""Changes to a model directory that hashes do not show: sizes and hashes are made right again, as an attacker would do.

So what is tested is whatever reads the content: fields of manifests, arrays, and the formats of the libraries.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.store import manifest, parts

Random = np.random.Generator
# What a field of JSON is replaced by.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.5, 1e300, -1e300, 5e-324, 1 << 31, 1 << 63, 1 << 70, -(1 << 70)),
    *("", "text", "inf", "-inf", "x" * 5_000, "\ud800", "\0", [], [1], [None], {}, {"a": 1}, [[[[1]]]]),
)
NUMBERS = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, 3.5, 2.0**31, 2.0**63)
DTYPES = ("f2", "f4", "f8", "c16", "i1", "i4", "i8", "u1", "u8", "?", "U3", "S2", ">f8", "M8[s]")


def mutate(model: Path, which: str, rng: Random) -> str:
    """Change something in a model directory, in one of its "parts" or "manifests"; return what."""
    if which == "manifests":
        name = str(rng.choice([manifest.BASE, manifest.MEMORY]))
        path = model / name
        if rng.random() < 0.2:
            path.write_bytes(changed_bytes(path.read_bytes(), rng))
            return f"{name}: bytes"
        content = json.loads(path.read_bytes())
        what = change_json(content, rng)
        path.write_text(json.dumps(content))
        return f"{name}: {what}"
    files = sorted(path for path in (model / parts.FOLDER).rglob("*") if path.is_file())
    path = files[int(rng.integers(len(files)))]
    what = change_file(path, rng)
    made_right(model)
    return f"{path.name}: {what}"


def change_file(path: Path, rng: Random) -> str:
    """Change a part: mostly what its format holds, now and then its bytes."""
    data, kind = path.read_bytes(), path.suffix
    if kind in _DEEP and rng.random() < 0.85:
        changed, what = _DEEP[kind](data, rng)
    else:
        changed, what = changed_bytes(data, rng), "bytes"
    path.write_bytes(changed)
    return what


def made_right(model: Path) -> None:
    """Write the manifests' sizes and hashes anew."""
    for which in (manifest.BASE, manifest.MEMORY):
        content = json.loads((model / which).read_bytes())
        for state in (content, *content.get("earlier", ())):
            state["parts"] = parts.to_json(parts.record(model / parts.FOLDER / state["id"]))
        (model / which).write_text(json.dumps(content))


def changed_bytes(data: bytes, rng: Random) -> bytes:
    """Return bytes with one of the changes that accidents and attackers make."""
    kind = rng.integers(5)
    at = int(rng.integers(len(data))) if data else 0
    if kind == 0:  # a few bits
        whole = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            if whole:
                whole[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        return bytes(whole)
    if kind == 1:  # a cut
        return data[:at]
    if kind == 2:  # extreme numbers
        value = int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])).to_bytes(4, "little")
        return data[:at] + value + data[at + 4 :]
    if kind == 3:  # a piece twice
        return data[:at] + data[at : at + 64] + data[at:]
    return data[:at] + bytes(rng.integers(0, 256, 32, dtype=np.uint8)) + data[at + 32 :]


def change_json(content: Any, rng: Random) -> str:
    """Change one field, at any depth; return which, and to what."""
    places = list(_places(content))
    if not places:
        return "nothing"
    # By depth first: most fields lie among the columns and the candidates of the folds.
    depth = int(rng.choice(sorted({len(place) for place in places})))
    deep = [place for place in places if len(place) == depth]
    place = deep[int(rng.integers(len(deep)))]
    node = content
    for key in place[:-1]:
        node = node[key]
    key, kind = place[-1], rng.integers(5)
    named = "/".join(map(str, place))
    if kind == 0:
        del node[key]
        return f"{named} is missing"
    if kind == 1 and isinstance(node, list):
        node.append(node[key])
        return f"{named} is there twice"
    other = places[int(rng.integers(len(places)))]
    value = VALUES[int(rng.integers(len(VALUES)))] if kind < 4 else _at(content, other)
    node[key] = json.loads(json.dumps(value))
    return f"{named} is {value!r:.60}"


def change_array(array: NDArray[Any], rng: Random) -> tuple[NDArray[Any], str]:  # noqa: PLR0911 - one for each change
    """Return an array of another length, shape, type or value."""
    kind = rng.integers(7)
    if kind == 0:
        return array[: int(rng.integers(len(array)))] if array.ndim and len(array) else array[None], "shorter"
    if kind == 1:
        return np.concatenate([array, array[-1:]]) if array.ndim and len(array) else array[None, None], "longer"
    if kind == 2:
        dtype = DTYPES[int(rng.integers(len(DTYPES)))]
        try:
            with np.errstate(all="ignore"):
                return array.astype(dtype), f"of {dtype}"
        except (TypeError, ValueError):
            return np.zeros(array.shape, dtype), f"of {dtype}"
    if kind == 3:
        shapes = [array.reshape(-1), array[None], array.T, array.reshape(*array.shape, 1), array.ravel()[::-1]]
        return shapes[int(rng.integers(len(shapes)))], "of another shape"
    if kind == 4:
        return rng.permutation(array) if array.ndim else array, "in another order"
    if array.size == 0 or array.dtype.kind not in "fiub":
        return np.zeros(3), "other"
    changed, value = array.copy(), NUMBERS[int(rng.integers(len(NUMBERS)))]
    which = rng.random(changed.shape) < (1.0 if kind == 5 else 3 / changed.size)
    with np.errstate(all="ignore"):
        changed[which] = np.array(value).astype(array.dtype)
    return changed, f"holds {value}"


def _changed_npz(data: bytes, rng: Random) -> tuple[bytes, str]:
    with np.load(io.BytesIO(data)) as stored:
        arrays = dict(stored)
    if not arrays:
        return changed_bytes(data, rng), "bytes"
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    if rng.random() < 0.12:
        del arrays[name]
        what = "is missing"
    elif name in ("table", "answer") and rng.random() < 0.8:
        content = json.loads(arrays[name].tobytes())
        what = change_json(content, rng)
        arrays[name] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    else:
        arrays[name], what = change_array(arrays[name], rng)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue(), f"{name} {what}"


def _changed_skops(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change the tree of objects or one of the arrays of scikit-learn's estimator."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    arrays = sorted(name for name in entries if name.endswith(".npy"))
    if arrays and rng.random() < 0.6:
        name = arrays[int(rng.integers(len(arrays)))]
        out = io.BytesIO()
        array = np.load(io.BytesIO(entries[name]))
        changed, what = _changed_fields(array, rng) if array.dtype.names else change_array(array, rng)
        np.save(out, changed, allow_pickle=False)
        entries[name] = out.getvalue()
    else:
        name, content = "schema.json", json.loads(entries["schema.json"])
        what = change_json(content, rng)
        entries[name] = json.dumps(content).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return written.getvalue(), f"{name} {what}"


def _changed_fields(array: NDArray[Any], rng: Random) -> tuple[NDArray[Any], str]:
    """Change one of the fields of records, such as the nodes of trees."""
    changed = array.copy()
    field = array.dtype.names[int(rng.integers(len(array.dtype.names)))]  # type: ignore[index]
    which = rng.random(changed.shape) < rng.choice([1.0, 3 / max(changed.size, 1)])
    value = NUMBERS[int(rng.integers(len(NUMBERS)))]
    with np.errstate(all="ignore"):
        changed[field][which] = np.array(value).astype(array.dtype[field])
    return changed, f"{field} holds {value}"


def _changed_text(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change one of the values of LightGBM's text, or a list of them."""
    lines = data.split(b"\n")
    at = int(rng.choice([i for i, line in enumerate(lines) if b"=" in line]))
    name, _, value = lines[at].partition(b"=")
    values = value.split(b" ")
    kind = rng.integers(4)
    if kind == 0:
        del lines[at]
        return b"\n".join(lines), f"{name.decode()} is missing"
    if kind == 1:
        values = values[:-1]
    elif kind == 2:
        values = [*values, values[-1]]
    else:
        others = [b"0", b"-1", b"1", b"2147483647", b"1e300", b"nan", b"inf", b"x", b""]
        values[int(rng.integers(len(values)))] = others[int(rng.integers(len(others)))]
    lines[at] = name + b"=" + b" ".join(values)
    return b"\n".join(lines), f"{name.decode()} is {lines[at][:60]!r}"


_DEEP: Mapping[str, Callable[[bytes, Random], tuple[bytes, str]]] = {
    ".npz": _changed_npz,
    ".skops": _changed_skops,
    ".txt": _changed_text,
}


def _places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*at, key)
        yield from _places(value, (*at, key))


def _at(node: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        node = node[key]
    return node
