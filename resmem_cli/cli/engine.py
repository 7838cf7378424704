"""The options that say what computes: this process, or the workers of a Dask cluster."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from resmem_cli.workflow.cluster import Workers


class EngineName(enum.StrEnum):
    """What computes."""

    LOCAL = "local"
    DASK = "dask"


Engine = Annotated[
    EngineName, typer.Option("--engine", help="What computes: this process, or worker processes that Dask manages.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="With --engine dask: the address of a running scheduler, tcp://HOST:8786.",
    ),
]
NumberOfWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="With --engine dask and no --scheduler: how many processes of this machine; by default one per core.",
    ),
]


def workers_of(engine: EngineName, scheduler: str | None, number: int | None, threads: int) -> Workers | None:
    """Return which workers are to compute; None if this process is.

    Raises:
        typer.BadParameter: the options contradict each other.
    """
    if engine is EngineName.LOCAL:
        for name, value in (("--scheduler", scheduler), ("--workers", number)):
            if value is not None:
                raise typer.BadParameter("it needs --engine dask", param_hint=f"'{name}'")
        return None
    if scheduler is not None and number is not None:
        raise typer.BadParameter("--scheduler and --workers exclude each other", param_hint="'--workers'")

    from resmem_cli.workflow.cluster import Workers

    return Workers(scheduler, number or 0, threads)
