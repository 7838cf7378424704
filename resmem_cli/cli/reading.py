"""The options that say how input files are read, the same of every command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resmem_cli.cli import options
from resmem_cli.data.sources import Format

if TYPE_CHECKING:
    from resmem_cli.workflow.inputs import Input

_OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "input_format": (
        Format | None,
        None,
        typer.Option("--input-format", help="Format of the input; by default from its file name."),
    ),
    "delimiter": (
        str | None,
        None,
        typer.Option("--delimiter", metavar="CHAR", help="Delimiter of a CSV input; by default from its first lines."),
    ),
    "decimal": (
        str | None,
        None,
        typer.Option("--decimal", metavar="CHAR", help="Decimal mark of text, . or ,; by default from all values."),
    ),
    "thousands": (
        str | None,
        None,
        typer.Option(
            "--thousands", metavar="CHAR", help="What is between thousands in text: . , ' space, or none; likewise."
        ),
    ),
    "date_format": (
        str | None,
        None,
        typer.Option(
            "--date-format", metavar="FORMAT", help="Order of dates in text, such as dd.mm.yyyy; likewise, or ISO 8601."
        ),
    ),
    "encoding": (
        str | None,
        None,
        typer.Option("--encoding", metavar="NAME", help="Encoding of text; by default UTF-8, UTF-16 or cp1252."),
    ),
    "skip_rows": (
        int | None,
        None,
        typer.Option("--skip-rows", min=0, max=1_000_000, help="Number of lines above the header; likewise."),
    ),
    "na": (
        list[str] | None,
        None,
        typer.Option("--na", metavar="VALUE,...", help="Further words for missing values in text; may be repeated."),
    ),
    "drop_totals": (
        bool,
        False,
        typer.Option("--drop-totals", help="Leave out a last row of totals, which fit-base refuses otherwise."),
    ),
}


class Reading:
    """What a command was told of its input files.

    Attributes:
        format: of the input, where its name does not tell.
        values: of the other options.
    """

    def __init__(self, input_format: Format | None, values: dict[str, Any]) -> None:
        self.format, self.values = input_format, values

    @property
    def words(self) -> list[str]:
        """The options as they are written in a command."""
        said = {"input_format": None if self.format is None else self.format.value, **self.values}
        words: list[str] = []
        for name, value in said.items():
            option = f"--{name.replace('_', '-')}"
            if isinstance(value, list):
                words += [word for each in value for word in (option, each)]
            elif value is not None and value is not False:
                words += [option] if value is True else [option, str(value)]
        return words

    def input_of(self, words: list[str]) -> Input:
        """Return what to read, as the workflow takes it.

        Raises:
            UsageError: the options are not what they can be, or contradict each other.
        """
        from resmem_cli.data.dialect import NAMED, forced
        from resmem_cli.workflow.inputs import Input

        delimiter = self.values["delimiter"]
        if delimiter is not None and len(delimiter) != 1 and delimiter not in NAMED:
            raise typer.BadParameter(f"'{delimiter}' is not one character", param_hint="'--delimiter'")
        given = {**self.values, "na": tuple(options.names(self.values["na"]))}
        return Input(tuple(words), self.format, forced(**given))


NOTHING_SAID = Reading(None, {})


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading in the place of its parameter `reading`, an object that holds them.

    Typer reads the options of a command from its signature.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += map(_option, _OPTIONS) if parameter.name == "reading" else [parameter]

    @functools.wraps(command)
    def with_reading(**values: Any) -> None:
        given = {name: values.pop(name) for name in _OPTIONS}
        command(**values, reading=Reading(given.pop("input_format"), given))

    with_reading.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_reading


def _option(name: str) -> inspect.Parameter:
    kind, default, declared = _OPTIONS[name]
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=Annotated[kind, declared]
    )
