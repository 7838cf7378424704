"""`resmem explain`: parse, one call, print."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data.sources import Format

if TYPE_CHECKING:
    from resmem_cli.workflow.explain import Explained

# Farther from everything remembered than so many of a hundred remembered rows are from each other.
_FAR = 99.0


@reads
def explain(
    inputs: options.Inputs,
    model: options.Model,
    rows: Annotated[
        str | None,
        typer.Option(metavar="N,M,...", help="Numbers of the rows to explain, counted from 1; all if not given."),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Number of neighbours to list per row.")] = 10,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The output file; - is standard output.")
    ] = "-",
    output_format: Annotated[
        Format | None,
        typer.Option(
            help="jsonl: one record per row; other formats: one per row and neighbour. On a terminal: a table."
        ),
    ] = None,
    threads: options.Threads = 0,
    reading: Reading = NOTHING_SAID,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Explain predictions: the remembered rows that moved each of them, and by how much."""
    source = reading.input_of(inputs)
    numbers = None if rows is None else _numbers(rows)
    options.refuse_terminal(output, output_format)

    from resmem_cli.workflow.explain import explain as run
    from resmem_cli.workflow.inputs import refuse_overwriting

    refuse_overwriting(source, output, model)
    is_read = output == "-" and output_format is None and sys.stdout.isatty()
    with console.progress(quiet, output=None if is_read else output) as report:
        explained = run(source, model, rows=numbers, top=top, threads=threads, report=report)
        if is_read:
            done = list(explained)
        else:
            _write(explained, output, output_format)
            done = []
    console.say(*source.note_lines, quiet=quiet)
    for row in done:
        _print(row)


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(word) for word in text.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise typer.BadParameter(f"'{text}' is no list of row numbers from 1, such as 3,17", param_hint="'--rows'")
    return numbers


def _write(explained: Any, output: str, output_format: Format | None) -> None:
    from resmem_cli.data import output as tables

    if output == "-" and output_format is None:
        output_format = Format.JSONL
    nested = tables.output_format(output, output_format)[0] is Format.JSONL
    with tables.writer(output, output_format, may_change=True) as table:
        for row in explained:
            table.write(tables.from_records([asdict(row)] if nested else _flat(row)))


def _flat(row: Explained) -> list[dict[str, Any]]:
    """Return a record per neighbour, and a last one of how many others there are, which names no rows."""
    of_row = {name: value for name, value in asdict(row).items() if name not in ("neighbors", "n_others", "others")}
    listed = [asdict(neighbor) | {"rows": json.dumps(neighbor.rows, ensure_ascii=False)} for neighbor in row.neighbors]
    others = {"count": row.n_others, "contribution": row.others}
    names = ("memory", "rows", "count", "distance", "weight", "residual", "contribution")
    return [
        of_row | {f"neighbor_{name}": neighbor.get(name) for name in names}
        for neighbor in [*listed, *([others] if row.n_others else [])]
    ]


def _print(row: Explained) -> None:
    name = f"row {row.row:,}" + (f" ({row.id})" if row.id else "")
    what = "prediction" if row.label is None else f"probability of {row.label}"
    console.tell(
        f"{name}: {what} {console.number(row.prediction)} = base {console.number(row.base)} "
        f"{row.correction:+.5g} from {len(row.neighbors) + row.n_others} neighbours"
        + (f" {row.adjustment:+.5g} from other bases, temperature and clipping" if abs(row.adjustment) > 1e-9 else "")
    )
    far = ": unlike all remembered rows" if row.percentile > _FAR else ""
    console.tell(f"nearest remembered row at distance percentile {row.percentile:.0f}{far}", "")
    several = len({neighbor.memory for neighbor in row.neighbors}) > 1
    rows = [
        (
            ", ".join(neighbor.rows[:3]) + (", ..." if len(neighbor.rows) > 3 else ""),
            *((str(neighbor.memory),) if several else ()),
            f"{neighbor.count:g}",
            console.number(neighbor.distance),
            console.number(neighbor.weight),
            console.number(neighbor.residual),
            f"{neighbor.contribution:+.5g}",
        )
        for neighbor in row.neighbors
    ]
    if row.n_others:
        rows.append((f"{row.n_others} others", *(("",) if several else ()), "", "", "", "", f"{row.others:+.5g}"))
    memory = ("memory",) if several else ()
    console.table(("remembered row", *memory, "count", "distance", "weight", "residual", "contribution"), rows)
    print()
