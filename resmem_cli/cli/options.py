"""The options that commands share, declared once; nothing here loads more than Typer."""

from __future__ import annotations

import ast
import csv
import math
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from resmem_cli.data.places import Place, for_a_model, place
from resmem_cli.data.sources import STDIN, Format
from resmem_cli.errors import UsageError

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, a directory of Parquet files, a glob, URIs of these, or - for standard input.",
        show_default=False,
    ),
]


def written_model(text: str) -> Path:
    """Return where a model may be written.

    Raises:
        UsageError: it lies in an object store, or is "-" or "".
    """
    _refuse_stream(text)
    _refuse_nothing(text)
    return for_a_model(text)


def output_directory(text: str) -> Place:
    """Return the directory that a path or a URI names, for files to be written to.

    Raises:
        UsageError: it is "-" or "".
    """
    _refuse_stream(text)
    return read_model(text)


def read_model(text: str) -> Place:
    """Return where a model is read from.

    Raises:
        UsageError: it is "".
    """
    _refuse_nothing(text)
    return place(text)


def _refuse_nothing(text: str) -> None:
    """Refuse what would be the current directory, where a variable of the shell was not set."""
    if not text:
        raise UsageError("the name of a directory is ''", "name one, such as . for the current one")


def _refuse_stream(text: str) -> None:
    """Refuse what would be a directory of an odd name: elsewhere it is standard output."""
    if text == STDIN:
        raise UsageError(
            "'-' is standard output, and a directory is needed", "name one, such as ./- if it has that name"
        )


# A `Place`, into whose type Typer would look.
Model = Annotated[
    Any,
    typer.Option(
        "--model",
        "-m",
        envvar="RESMEM_MODEL",
        metavar="DIR",
        parser=read_model,
        help="The model directory, or the URI of one.",
    ),
]
WrittenModel = Annotated[
    Path,
    typer.Option(
        "--model", "-m", envvar="RESMEM_MODEL", metavar="DIR", parser=written_model, help="The model directory."
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A hyperparameter, set in every estimator that has it; may be repeated.",
    ),
]
Threads = Annotated[
    int, typer.Option("--threads", envvar="RESMEM_THREADS", min=0, help="Number of threads; 0 uses every core.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="If another resmem is writing to the model: wait for it instead of failing.")
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="COLUMN", help="The column of groups, such as customers: no split cuts a group in two."
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="COLUMN",
        help="The column of times (dates or numbers): rows are judged by earlier ones.",
    ),
]
Keep = Annotated[
    int,
    typer.Option("--keep", min=0, max=100, help="How many earlier memories are kept for resmem undo; 0 keeps none."),
]
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval",
        metavar="LEVEL",
        help="Coverage level of prediction intervals, such as 0.9; for classification, of prediction sets.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Print the Python traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def refuse_terminal(output: str, output_format: Format | None) -> None:
    """Refuse to write what is no text to a terminal, which would obey the controls in it.

    Raises:
        UsageError: the output is a terminal, and the format is binary.
    """
    if output_format in (Format.PARQUET, Format.ARROW) and is_terminal(output):
        raise UsageError(
            f"{output_format} is a binary format, which a terminal cannot show",
            "name a file with --output, or redirect it with | or >",
        )


def is_terminal(output: str) -> bool:
    """Whether an output is a terminal, by whatever name."""
    if output == STDIN:
        return sys.stdout.isatty()
    try:
        if not stat.S_ISCHR(Path(output).stat().st_mode):
            return False
        descriptor = os.open(output, os.O_WRONLY | os.O_NOCTTY)
    except (OSError, ValueError):  # whoever writes to it says what is wrong with it
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def number_or_auto(text: str, option: str, *, infinite: bool = False) -> float | None:
    """Return the number that an option holds, or None for "auto"."""
    if text == "auto":
        return None
    try:
        number = float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a number nor auto", param_hint=f"'{option}'") from None
    if not number >= 0 or (math.isinf(number) and not infinite):
        raise typer.BadParameter(f"{text} is not a number of 0 or more", param_hint=f"'{option}'")
    return number


def level(value: float | None) -> float | None:
    """Return the level of an interval, if one is asked for."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not between 0 and 1", param_hint="'--interval'")
    return value


def names(values: Sequence[str] | None) -> list[str]:
    """Return the column names in repeated options, each of one name or several with commas between (CSV quoting)."""
    return [name for value in values or () for name in next(csv.reader([value]), [])]


def parameters(values: Sequence[str] | None) -> dict[str, Any]:
    """Return `K=V` options as a mapping; a value that reads as a Python literal is one, anything else is text."""
    found: dict[str, Any] = {}
    for value in values or ():
        name, separator, text = value.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"'{value}' is not of the form NAME=VALUE", param_hint="'--param'")
        found[name] = _literal(text)
    return found


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
