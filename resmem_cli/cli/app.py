"""The commands of `resmem`, and what they share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resmem_cli.cli.change import forget, remember
from resmem_cli.cli.compare import compare
from resmem_cli.cli.distill import distill
from resmem_cli.cli.evaluate import evaluate
from resmem_cli.cli.explain import explain
from resmem_cli.cli.fit_base import fit_base
from resmem_cli.cli.fit_residual import fit_residual
from resmem_cli.cli.history import history, undo
from resmem_cli.cli.inspect import inspect, verify
from resmem_cli.cli.predict import predict
from resmem_cli.cli.report import report
from resmem_cli.version import __version__

app = typer.Typer(
    name="resmem",
    help="Give any tabular model a memory: a base model learns what it can, a nearest-neighbour index over its "
    "residuals memorises the rest, and the prediction is the sum.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"resmem {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def show_help(
    context: typer.Context,
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="The command; all commands if not given.")
    ] = None,
) -> None:
    """Show the help of a command, as COMMAND --help does."""
    root = context.find_root()
    if command is None:
        print(root.get_help())
        return
    app([command, "--help"], prog_name="resmem", standalone_mode=False)


app.command("fit-base")(fit_base)
app.command("fit-residual")(fit_residual)
app.command("predict")(predict)
app.command("evaluate")(evaluate)
app.command("report")(report)
app.command("compare")(compare)
app.command("distill")(distill)
app.command("explain")(explain)
app.command("remember")(remember)
app.command("forget")(forget)
app.command("history")(history)
app.command("undo")(undo)
app.command("inspect")(inspect)
app.command("verify")(verify)
app.command("help", hidden=True)(show_help)
