"""`resmem fit-base`: parse, one call, print."""

from __future__ import annotations

import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from resmem_cli.cli import base_report, console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data.places import on_this_machine

if TYPE_CHECKING:
    from resmem_cli.workflow.adopt_base import FromColumns, FromFile


class TaskName(enum.StrEnum):
    """What is predicted."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"


def _estimators(incomplete: str) -> list[str]:
    """Complete the last of several names, none of them twice."""
    *before, last = incomplete.split(",")
    names = [name for name in base_report.ESTIMATORS if name.startswith(last) and name not in before]
    return [",".join([*before, name]) for name in names]


def _list_estimators(wanted: bool) -> None:
    if wanted:
        base_report.list_estimators()
        raise typer.Exit


def _model_file(word: str) -> Path:
    return on_this_machine(word, "--import does not read from an object store", "copy the file to this machine first")


@reads
def fit_base(
    inputs: options.Inputs,
    target: Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.")],
    model: options.WrittenModel,
    task: Annotated[TaskName, typer.Option(help="Kind of target; auto infers it from its values.")] = TaskName.AUTO,
    estimator: Annotated[
        str,
        typer.Option(
            metavar="NAME,...|auto",
            autocompletion=_estimators,
            help="Base models to fit (see --list-estimators). Of several, the weighted mean is the base.",
        ),
    ] = "auto",
    list_estimators: Annotated[
        bool,
        typer.Option(
            "--list-estimators",
            is_eager=True,
            callback=_list_estimators,
            help="List the estimators, which of them are installed, and how to install the others.",
        ),
    ] = False,
    param: options.Params = None,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The base is another model (regression), whose predictions are this column."
        ),
    ] = None,
    probabilities: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX|COLUMN,...",
            help="The same for classification: a PREFIX of one column per class, column names, or one list column.",
        ),
    ] = None,
    logits: Annotated[
        str | None, typer.Option(metavar="PREFIX|COLUMN,...", help="Like --probabilities, with logits.")
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="With one of the three options above: the list column that holds that model's embedding.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|index",
            help="With --probabilities or --logits: all classes, one a line, in order; index: they are 0, 1, 2 and on.",
        ),
    ] = None,
    import_file: Annotated[
        Path | None,
        typer.Option(
            "--import",
            metavar="FILE",
            parser=_model_file,
            help="The base is the model in this file: LightGBM text, XGBoost JSON or UBJ, CatBoost cbm, ONNX, or "
            "scikit-learn saved with skops.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="prediction=NAME,embedding=NAME",
            help="Names of an ONNX model's outputs; probabilities=NAME or logits=NAME for a classifier.",
        ),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Allow --import to load a pickle or joblib file. A pickle can run any code.",
        ),
    ] = False,
    features: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN,...", help="Use only these columns as features.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN,...", help="Do not use these columns as features.")
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN,...", help="Treat these columns as categorical, whatever their values are."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column that identifies each row; not a feature.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of row weights, 0 or more; not a feature.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            min=1,
            help="Fit on a uniform sample of so many rows (of whole groups; large ones too rarely); no others are held "
            "in memory.",
        ),
    ] = None,
    group: options.Group = None,
    time: options.Time = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Random seed.")] = 0,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Fit a base model, or several, to labelled rows; replaces the base that is there."""
    source = reading.input_of(inputs)
    params = options.parameters(param)
    named = {"predictions": predictions, "probabilities": probabilities, "logits": logits}
    origin = _with_classes(_origin(named, embedding, import_file, output, trust_pickle), classes)
    if origin is not None and (estimator != "auto" or params):
        raise typer.BadParameter(
            "an imported base is not fitted: leave --estimator and --param out", param_hint="'--estimator'"
        )

    if origin is not None and sample is not None:
        raise typer.BadParameter("an imported base is not fitted: leave --sample out", param_hint="'--sample'")

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
        group_column=group,
        time_column=time,
    )
    with console.progress(quiet) as report:
        if origin is None:
            fitted = run(source, roles, model, BaseOptions(estimator, params, seed, threads, sample), report, wait=wait)
        else:
            from resmem_cli.workflow.adopt_base import adopt_base

            fitted = adopt_base(source, roles, model, origin, threads=threads, report=report, wait=wait)
    read_as = fitted.schema.dialect.described()
    console.say(*source.note_lines, *([f"read as: {read_as}"] if read_as else []), quiet=quiet)
    base_report.describe(fitted, model, is_adopted=origin is not None, quiet=quiet)
    if as_json:
        print(json.dumps(base_report.as_json(fitted), ensure_ascii=False))


def _origin(
    named: dict[str, str | None], embedding: str | None, file: Path | None, output: str | None, trust_pickle: bool
) -> FromColumns | FromFile | None:
    """Return where the base comes from, None if it is to be fitted."""
    chosen = [form for form, columns in named.items() if columns is not None]
    if len(chosen) + (file is not None) > 1:
        several = [f"--{form}" for form in chosen] + ["--import"] * (file is not None)
        raise typer.BadParameter(
            f"{' and '.join(several)} exclude each other: choose one base", param_hint="'--import'"
        )
    if embedding is not None and not chosen:
        raise typer.BadParameter(
            "it needs --predictions, --probabilities or --logits",
            param_hint="'--embedding'",
        )
    if file is None and (output is not None or trust_pickle):
        raise typer.BadParameter("it needs --import", param_hint="'--output'" if output else "'--trust-pickle'")
    if file is None and not chosen:
        return None
    from resmem_cli.workflow.adopt_base import FromColumns, FromFile

    if file is not None:
        return FromFile(file, _outputs(output), trust_pickle)
    columns = options.names([named[chosen[0]] or ""])
    if not columns:
        raise typer.BadParameter("no column is named", param_hint=f"'--{chosen[0]}'")
    return FromColumns(cast(Any, chosen[0]), tuple(columns), embedding)


def _with_classes(origin: FromColumns | FromFile | None, classes: str | None) -> FromColumns | FromFile | None:
    """Return where the base comes from, and all the classes that it tells apart, if they are said."""
    if classes is None:
        return origin
    from resmem_cli.data import vocabulary
    from resmem_cli.workflow.adopt_base import FromColumns

    if not isinstance(origin, FromColumns) or origin.form == "predictions":
        raise typer.BadParameter("it needs --probabilities or --logits", param_hint="'--classes'")
    return replace(origin, classes="index" if classes == vocabulary.INDEX else vocabulary.read(classes))


OUTPUTS = ("prediction", "probabilities", "logits", "embedding")


def _outputs(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in options.names([text])] if text else []
    for role, _, name in pairs:
        if role not in OUTPUTS or not name:
            raise typer.BadParameter(
                f"'{role}' is not of the form ROLE=NAME with a role of {', '.join(OUTPUTS)}", param_hint="'--output'"
            )
    return {role: name for role, _, name in pairs}
