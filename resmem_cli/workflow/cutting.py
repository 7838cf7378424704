"""Where a large Parquet file may be cut, so that several can read it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pyarrow as pa

from resmem_cli.data import columnar, places
from resmem_cli.data.sources import Format, Source

_LEAST_BYTES = 1 << 20  # smaller files are not looked into


def cut(source: Source, rows: int) -> tuple[Source, ...]:
    """Return parts of about so many rows, of whole row groups, in order; of fewer than twice as many the source itself.

    Of a file that cannot be read, whoever reads it says what is wrong.
    """
    try:
        if source.path is None or source.format is not Format.PARQUET or places.size(source.path) < _LEAST_BYTES:
            return (source,)
        sizes = columnar.rows_of_groups(source)
    except (pa.ArrowException, OSError):
        return (source,)
    if sum(sizes) < 2 * rows:
        return (source,)
    ends, n_rows = [0], 0
    for group, size in enumerate(sizes):
        n_rows += size
        if n_rows >= rows:
            ends.append(group + 1)
            n_rows = 0
    if len(ends) <= 2:  # one row group has nearly all rows
        return (source,)
    ends[-1] = len(sizes)  # few rows at the end belong to the part before
    return tuple(replace(source, row_groups=each) for each in itertools.pairwise(ends))
