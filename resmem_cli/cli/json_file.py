"""The file that a program reads a result from, beside what people read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the result as JSON to a file, too; - is as --json."),
]


@contextmanager
def json_file(output: str | None) -> Iterator[Callable[[Any], None]]:
    """Give what writes an object to a file, which then appears whole; a folder that is not there is told at once.

    Raises:
        OutputError: the file cannot be written.
    """
    if output is None or output == "-":
        yield lambda content: None
        return
    from resmem_cli.data.output import opened

    with opened(output) as stream:

        def write(content: Any) -> None:
            stream.write(json.dumps(content).encode() + b"\n")

        yield write
