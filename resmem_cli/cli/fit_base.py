"""`resmem fit-base`: parse, one call, print."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from resmem_cli.cli import console, options


class TaskName(enum.StrEnum):
    """What is predicted."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"


_ESTIMATORS = ("auto", "boosting", "linear", "mlp", "constant")  # for completion, which must not load them


def _estimators(incomplete: str) -> list[str]:
    """Complete the last of several names, none of them twice."""
    *before, last = incomplete.split(",")
    names = [name for name in _ESTIMATORS if name.startswith(last) and name not in before]
    return [",".join([*before, name]) for name in names]


def fit_base(
    inputs: options.Inputs,
    target: Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.")],
    model: options.Model,
    task: Annotated[TaskName, typer.Option(help="What the target is; auto tells it from its values.")] = TaskName.AUTO,
    estimator: Annotated[
        str,
        typer.Option(
            metavar="NAME,...|auto",
            autocompletion=_estimators,
            help="boosting: histogram gradient boosting. linear: ridge or logistic regression. mlp: a network with "
            "early stopping. constant: the mean or the class frequencies. Of several, the one that is best on a "
            "held-out fifth is the base, and fit-residual may use the others as well. auto: boosting,linear; of more "
            "than 10 classes linear alone.",
        ),
    ] = "auto",
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="A parameter of the estimators' own, for each that has it; may be repeated.",
        ),
    ] = None,
    features: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN,...", help="Use only these columns as features.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN,...", help="Leave these columns out.")] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN,...", help="Take these columns as categories, whatever they look like."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column that names each row; not a feature.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of row weights, 0 or more; not a feature.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="What every random step starts from.")] = 0,
    threads: options.Threads = 0,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Learn the schema and base models from labelled rows; replaces what is there."""
    source = options.input_of(inputs, input_format, delimiter)
    params = options.parameters(param)

    from resmem_cli.data.inference import Roles
    from resmem_cli.data.schema import Task
    from resmem_cli.workflow.fit_base import BaseOptions
    from resmem_cli.workflow.fit_base import fit_base as run

    roles = Roles(
        target=target,
        task=None if task is TaskName.AUTO else Task(task.value),
        features=options.names(features),
        drop=options.names(drop),
        id_column=id_column,
        weight_column=weight,
        categories=options.names(category),
    )
    with console.progress(quiet) as report:
        fitted = run(source, roles, model, BaseOptions(estimator, params, seed, threads), report)

    schema = fitted.schema
    console.say(*(f"note: {note}" for note in fitted.notes), quiet=quiet)
    kinds = ", ".join(
        f"{sum(column.kind == kind for column in schema.columns)} {kind}"
        for kind in dict.fromkeys(column.kind for column in schema.columns)
    )
    if fitted.held_out:
        compared = ", ".join(
            f"{name} {value:.5g}" for name, value in zip(fitted.estimators, fitted.held_out, strict=True)
        )
        console.say(f"{fitted.objective} of {fitted.n_held_out:,} held-out rows: {compared}", quiet=quiet)
    what = f" of {len(schema.target.classes)} classes" if schema.target.classes else ""
    console.say(
        f"fitted {' and '.join(fitted.estimators)} on {fitted.n_rows:,} rows and {len(schema.columns)} features "
        f"({kinds}): {schema.target.task}{what} of '{target}' -> {model}/base.json",
        quiet=quiet,
    )
    if as_json:
        result = {
            "rows": fitted.n_rows,
            "estimators": list(fitted.estimators),
            "held_out": dict(zip(fitted.estimators, fitted.held_out, strict=False)),
            "task": schema.target.task.value,
            "classes": list(schema.target.classes),
            "features": {column.name: column.kind.value for column in schema.columns},
            "notes": list(fitted.notes),
        }
        print(json.dumps(result, ensure_ascii=False))
