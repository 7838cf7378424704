"""The check of an HNSW file before hnswlib reads it: hnswlib 0.8 trusts the file, and a crafted one makes it
write out of bounds.

Layout (hnswlib 0.8, `saveIndex`): a header; per element a block of level-0 links, vector and label; then per element
the size in bytes of its upper links and these links, one block a level.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import ModelError

_HEADER = struct.Struct("<6QiI3QdQ")
_LINK = np.dtype("<u4")
_MOST_LEVELS = 64


@dataclass(frozen=True)
class _Header:
    level0_offset: int
    n_slots: int
    n_elements: int
    element_bytes: int
    label_offset: int
    vector_offset: int
    top_level: int
    entry: int
    max_links: int
    max_links_level0: int
    m: int
    scale: float
    ef_construction: int

    @classmethod
    def read(cls, data: bytes) -> Self:
        return cls(*_HEADER.unpack_from(data))


def check(path: Path, n_elements: int, n_columns: int) -> None:
    """Refuse an HNSW file that is not a graph of `n_elements` vectors of `n_columns`, whole and linked to itself.

    Raises:
        ModelError: a size, a count, a label or a link is not what it must be.
    """
    data = path.read_bytes()
    try:
        problem = _problem(data, n_elements, n_columns)
    except struct.error:
        problem = "it is cut short"
    except (ValueError, IndexError, OverflowError) as error:
        problem = str(error)
    if problem:
        raise ModelError(f"the search graph {path} is damaged ({problem})", "run fit-residual again")


def _problem(data: bytes, n_elements: int, n_columns: int) -> str:
    header = _Header.read(data)
    level0_bytes = 4 + 4 * header.max_links_level0
    expected = (0, n_elements, level0_bytes, level0_bytes + 4 * n_columns, level0_bytes + 4 * n_columns + 8)
    written = (
        header.level0_offset,
        header.n_elements,
        header.vector_offset,
        header.label_offset,
        header.element_bytes,
    )
    if written != expected or header.n_slots < n_elements or header.max_links_level0 != 2 * header.max_links:
        return "its header does not fit its model"
    if not 0 <= header.top_level < _MOST_LEVELS or header.entry >= n_elements or header.m != header.max_links:
        return "its entry point is out of range"
    if len(data) < _HEADER.size + n_elements * header.element_bytes:
        return "it is cut short"
    return _level0_problem(data, header) or _upper_problem(data, header)


def _level0_problem(data: bytes, header: _Header) -> str:
    blocks = np.frombuffer(data, np.uint8, header.n_elements * header.element_bytes, _HEADER.size)
    blocks = blocks.reshape(header.n_elements, header.element_bytes)
    # The count is a 16-bit number; the two bytes after it are hnswlib's mark of deletion, which we never write.
    counts = blocks[:, :4].copy().view(_LINK).ravel()
    if counts.max(initial=0) > header.max_links_level0:
        return "a point has more links than fit"
    links = blocks[:, 4 : header.vector_offset].copy().view(_LINK)
    used = np.arange(header.max_links_level0) < counts[:, None]
    if (links[used] >= header.n_elements).any():
        return "a link is out of range"
    labels = blocks[:, header.label_offset :].copy().view("<u8").ravel()
    if not np.array_equal(np.sort(labels), np.arange(header.n_elements, dtype=np.uint64)):
        return "its labels are not its points"
    vectors = blocks[:, header.vector_offset : header.label_offset].copy().view("<f4")
    return "" if np.isfinite(vectors).all() else "a vector is not finite"


def _upper_problem(data: bytes, header: _Header) -> str:
    block = 4 + 4 * header.max_links
    at = _HEADER.size + header.n_elements * header.element_bytes
    levels = np.zeros(header.n_elements, dtype=np.int64)
    starts = np.zeros(header.n_elements, dtype=np.int64)
    for i in range(header.n_elements):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if size % block or size // block > header.top_level or at + size > len(data):
            return "the upper links have a wrong size"
        levels[i], starts[i] = size // block, at
        at += size
    if at != len(data):
        return "it has extra bytes"
    if levels[header.entry] != header.top_level:
        return "its entry point is not on its top level"
    for i in np.flatnonzero(levels).tolist():
        upper = np.frombuffer(data, _LINK, levels[i] * block // 4, starts[i]).reshape(levels[i], -1)
        if problem := _links_problem(upper, levels, header):
            return problem
    return ""


def _links_problem(upper: NDArray[np.uint32], levels: NDArray[np.int64], header: _Header) -> str:
    for level, (count, *links) in enumerate(upper.tolist(), start=1):
        if count > header.max_links:
            return "a point has more links than fit"
        for link in links[:count]:
            if link >= header.n_elements or levels[link] < level:
                return "a link leaves its level"
    return ""
