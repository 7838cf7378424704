"""base.json and memory.json: what a model directory promises, and in which format."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resmem_cli.data.replacement import replacing
from resmem_cli.errors import ModelError, OutputError, UsageError
from resmem_cli.store import files, older_formats
from resmem_cli.version import __version__

# The format of the model directory. Raise it whenever a resmem that knows only the present format would read a new
# directory wrongly or not at all; then keep reading every older format, and add a directory of it to the tests.
# A field that older versions may ignore does not raise it.
# 2 held several bases and memories; 3 bounds a line; 4 boosts several times; 5 waves not every number; 6 keeps earlier
# memories for undo, which an older resmem would not forget rows in; 7 has boosted trees as arrays, takes distances of
# many columns between principal components, and may hold some classes of each residual alone; 8 weighs bases; 9 says
# how text files are written, and tells the values of categories apart that have many; 10 may have a memory in shards;
# 11 has bases that are the mean of several models of another library.
FORMAT = 11

BASE = "base.json"
MEMORY = "memory.json"
# What `write` adds to every manifest, and what names its generation.
_STAMPS = ("format", "resmem", "libraries")
STAMPED = (*_STAMPS, "id", "parts")
MOST_BYTES = 128 << 20  # of a manifest: no hash covers it. 100,000 columns take about 30 MiB
_LIBRARIES = ("numpy", "scikit-learn", "hnswlib", "pyarrow", "skops")


def write(path: Path, content: Mapping[str, Any], *, modified: int | None = None) -> None:
    """Write a manifest, whole or not at all; the same content gives the same bytes.

    `modified` is when it is to look written, in nanoseconds.
    """
    stamped = {"format": FORMAT, "resmem": __version__, "libraries": {name: version(name) for name in _LIBRARIES}}
    if path.exists() and not path.is_file():  # into a pipe or a device it would be written as it is
        raise OutputError(f"'{path}' is not a regular file", "remove it")
    text = json.dumps(stamped | _plain(dict(content)), indent=2, ensure_ascii=False, allow_nan=False)
    data = text.encode() + b"\n"
    if len(data) > MOST_BYTES:  # it could not be read again
        raise OutputError(f"'{path}' would be larger than {MOST_BYTES >> 20} MiB", "keep fewer memories with --keep")
    with replacing(path) as stream:
        stream.write(data)
        if modified is not None:
            stream.flush()
            os.utime(stream.fileno(), ns=(modified, modified))


def rewrite(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest in the place of one that says more; it stays as old as it is, which make goes by."""
    kept = {name: value for name, value in content.items() if name not in _STAMPS}
    write(path, kept, modified=path.stat().st_mtime_ns)


def now() -> str:
    """Return the time in UTC as ISO 8601 writes it; that of SOURCE_DATE_EPOCH, if it is set, gives the same bytes.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is after the year 9999.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {seconds[:20]}, which is after the year 9999", "give seconds since 1970, or unset it"
        ) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        FileNotFoundError: there is none.
        ModelError: it is damaged, or of a newer format.
    """
    content = read_any(path)
    written = content["format"]
    if written > FORMAT:
        raise ModelError(
            f"{path} has format {written}, written by resmem {content.get('resmem', '?')}; "
            f"this is resmem {__version__}, which reads formats up to {FORMAT}",
            "upgrade resmem-cli",
        )
    return older_formats.present_manifest(content, written)


def read_any(path: Path) -> dict[str, Any]:
    """Read a manifest of whichever format, of which nothing is known but its "format".

    Raises:
        FileNotFoundError: there is none.
        ModelError: it is damaged, or not ours.
    """
    try:
        content = json.loads(files.read(path, MOST_BYTES), parse_constant=_refused)
        written = content["format"]
        if not isinstance(written, int) or isinstance(written, bool) or written < 1:
            raise ValueError(f"format {written!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a manifest of resmem ({error})", "fit the model again") from error
    return dict(content)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: no infinities, which become text, and no NaN, which becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
