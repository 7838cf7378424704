"""fit-base, where the base is there already: as columns that it has written, or as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resmem_cli import spelling
from resmem_cli.data import encoding, inference, vocabulary
from resmem_cli.data.inference import Roles
from resmem_cli.data.kinds import Floats, is_list
from resmem_cli.data.relations import Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Given, Schema, Task
from resmem_cli.errors import DataError, ModelError, UsageError, did_you_mean
from resmem_cli.model import bases, metrics
from resmem_cli.model.arrays import row_blocks
from resmem_cli.model.bases import Base, BaseSpec, Problem, importing
from resmem_cli.model.bases.columns import Columns, Form
from resmem_cli.model.bases.table import Field
from resmem_cli.model.bases.table import Table as Fields
from resmem_cli.model.rows import LabelledRows
from resmem_cli.store import estimators, locking, ownership, trial, writing
from resmem_cli.store.rows import TrainedRows
from resmem_cli.store.stored import StoredBase, problem_of
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.fit_base import FittedBase
from resmem_cli.workflow.inputs import Input, Report, silent

# Probabilities may miss a sum of 1 by so much: some are written with two digits.
_SUM_TOLERANCE = 0.05
_NOT_SEEN = TrainedRows(np.empty(0, np.uint64))  # which rows trained a base from elsewhere is not known
_MOST_BYTES = 2 << 30
_TRIED_ROWS = 5_000


@dataclass(frozen=True)
class FromColumns:
    """A base whose predictions are columns of every input.

    Attributes:
        form: what they hold.
        columns: one name, or one per class; one name may also be a column of vectors, or begin the names of several.
        embedding: the column of vectors that the model computes on its way, or None.
        classes: all classes that the model tells apart, in the order of its numbers; "index" if they are the
            positions in a column of vectors, from 0. Without any they are those of the labelled rows.
    """

    form: Form
    columns: tuple[str, ...]
    embedding: str | None = None
    classes: tuple[str, ...] | Literal["index"] = ()


@dataclass(frozen=True)
class FromObject:
    """A base that another library has fitted in this process.

    Attributes:
        kind: of the registry's importable ones.
        model: what `Importable.imported` takes.
    """

    kind: str
    model: Any


@dataclass(frozen=True)
class FromFile:
    """A base in a file of its library's own format.

    Attributes:
        path: of the file.
        outputs: which of the model's outputs is the "prediction", which the "embedding".
        trust_pickle: whether the user says that the file may be a pickle, which runs whatever code it holds.
    """

    path: Path
    outputs: Mapping[str, str] = field(default_factory=dict)
    trust_pickle: bool = False


def adopt_base(
    source: Input,
    roles: Roles,
    model: Path,
    origin: FromColumns | FromFile,
    *,
    threads: int = 0,
    report: Report = silent,
    wait: bool = False,
) -> FittedBase:
    """Learn the schema of labelled rows and store a base that came from elsewhere; what was there before is replaced.

    Raises:
        DataError: the rows cannot be read, or the base's columns or file are not what they should be.
        OutputError: the directory cannot be written, or another writer is at work and it is not to `wait`.
        UsageError: the roles, the columns or the file do not fit together, or the directory is not a model's.
    """
    ownership.refuse_foreign(model)
    with locking.alone(model, wait=wait, create=True), thread_limit.limited(threads):
        report("reading")
        stored, rows, adopted = adopt(source.read_all(), roles, origin, report=report)
        report("writing")
        writing.save_base(model, stored, rows)
    return adopted


def adopt(
    parts: Sequence[Rows],
    roles: Roles,
    origin: FromColumns | FromFile | FromObject,
    *,
    seed: int = 0,
    report: Report = silent,
) -> tuple[StoredBase, TrainedRows, FittedBase]:
    """Learn the schema of labelled rows, and take a base over that came from elsewhere.

    Returns:
        What is to be stored of the base and of its rows, and what the user should know.

    Raises:
        DataError, UsageError: as `adopt_base`.
    """
    report("importing the base")
    if isinstance(origin, FromColumns):
        schema, table, learned_notes, base, what = _from_columns(parts, roles, origin)
    elif isinstance(origin, FromFile):
        schema, table, learned_notes, base, what = _from_file(parts, roles, origin, report)
    else:
        schema, table, learned_notes, base, what = _from_object(parts, roles, origin)
    X, _ = encoding.encode(table, schema)
    y = encoding.encode_target(table, schema)
    report("checking its predictions")
    problem = problem_of(schema, seed)
    rows = LabelledRows(X, y, encoding.encode_weight(table, schema), np.ones(len(y), dtype=np.bool_))
    losses = _losses(base, rows, problem, table)
    related = Relations.of(table, schema).numbered()  # a wrong column is told before anything is stored
    notes = (*learned_notes, *related.notes, *_worse_than_nothing(losses, rows, problem, schema))
    stored = StoredBase("", schema, problem, (BaseSpec(what, {}, can_refit=False),), (base,), 0)
    objective = metrics.objectives(problem.is_regression)[0]
    return stored, _NOT_SEEN, FittedBase(schema, (what,), objective, (), 0, len(y), notes)


_Adopted = tuple[Schema, Rows, tuple[str, ...], Base, str]


def _from_columns(parts: Sequence[Rows], roles: Roles, origin: FromColumns) -> _Adopted:
    names = parts[0].table.column_names
    task = Task.REGRESSION if origin.form == "predictions" else Task.CLASSIFICATION
    if roles.task not in (None, task):
        raise UsageError(f"--{origin.form} is for {task.value}", "leave --task out")
    begun = origin.columns[0]
    starts = len(origin.columns) == 1 and begun not in names and origin.form != "predictions"
    columns = tuple(name for name in names if name.startswith(begun)) if starts else origin.columns
    if not columns:
        raise DataError(
            f"{parts[0].source} has no column '{begun}', and none with this prefix",
            did_you_mean([begun], names, "its columns are: " + ", ".join(names[:20])),
        )
    classes = _positions(parts, columns, origin) if origin.classes == vocabulary.INDEX else origin.classes
    learned = inference.learn(parts, replace(roles, task=task, given=columns, classes=classes))
    schema, notes = learned.schema, learned.notes
    if origin.embedding is not None and origin.embedding not in schema.vectors:
        raise DataError(
            f"{parts[0].source}: the embedding '{origin.embedding}' is not a column of vectors of equal length",
            "name a column of lists of numbers with --embedding",
        )
    given, said = _given(learned.rows, columns, schema, begun=begun if starts else None)
    schema = replace(schema, given=given)
    start = len(schema.n_categories)
    embedding = schema.vectors.get(origin.embedding or "")
    base = Columns(origin.form, start, start + given.width, embedding)
    return schema, learned.rows, (*notes, *said), base, bases.COLUMNS


def _positions(parts: Sequence[Rows], columns: tuple[str, ...], origin: FromColumns) -> tuple[str, ...]:
    """Return the classes 0, 1, 2 and so on, one for each number of a column of vectors."""
    lengths = {encoding.vector_length(part, columns[0]) for part in parts} if len(columns) == 1 else set()
    if len(lengths) != 1:
        raise UsageError(
            f"--classes {vocabulary.INDEX} needs one column of vectors of one length in --{origin.form}",
            "name the column of lists, or give --classes a file",
        )
    return tuple(map(str, range(lengths.pop())))


def _given(rows: Rows, columns: tuple[str, ...], schema: Schema, *, begun: str | None) -> tuple[Given, tuple[str, ...]]:
    """Return which columns hold which class, and what of that is a guess."""
    classes = schema.target.class_names
    if len(columns) == 1 and is_list(rows.column(columns[0]).type):
        width = encoding.vector_length(rows, columns[0])
        _require_count(width, classes, f"the vectors of '{columns[0]}' hold {width} numbers")
        return Given(columns, is_vector=True, width=width), _in_order(classes)
    if not classes:
        return Given(columns[:1], is_vector=False, width=1), ()
    if begun is not None:
        named = [[begun + each for each in _writings(name) if begun + each in columns] for name in classes]
        missing = [begun + name for name, found in zip(classes, named, strict=True) if not found]
        if missing:
            raise DataError(
                f"{rows.source} has no column '{missing[0]}' for one of the classes {', '.join(classes[:10])}",
                "add a column with this prefix for every class, or list the columns, separated by commas",
            )
        return Given(tuple(found[0] for found in named), is_vector=False, width=len(named)), ()
    _require_count(len(columns), classes, f"{len(columns)} columns are named")
    by_class = {_class_of(name, classes): name for name in columns}
    if len(columns) > 1 and set(by_class) == set(classes):
        return Given(tuple(by_class[each] for each in classes), is_vector=False, width=len(classes)), ()
    return Given(columns, is_vector=False, width=len(columns)), _in_order(classes) if len(columns) > 1 else ()


def _class_of(column: str, classes: Sequence[str]) -> str:
    """Return the class whose label a column's name ends with, of several the longest; an empty text if none does."""
    endings = ((len(each), label) for label in classes for each in _writings(label) if column.endswith(each))
    return max(endings, default=(0, ""))[1]


def _writings(label: str) -> tuple[str, ...]:
    """Return a label as it is written, and as others write the same number: "1", "1.0"."""
    form = spelling.canonical(label)
    return tuple(dict.fromkeys((label, form, f"{form}.0"))) if form.lstrip("-").isdigit() else (label,)


def _require_count(count: int, classes: Sequence[str], what: str) -> None:
    if count != max(len(classes), 1) and (count, len(classes)) != (1, 2):
        raise UsageError(
            f"{what}, and the target has {len(classes)} classes: {', '.join(classes[:10])}" if classes else what,
            "give one number per class" if classes else "give one number per row",
        )


def _in_order(classes: Sequence[str]) -> tuple[str, ...]:
    several = len(classes) > 1
    return (f"the base's numbers are assigned to the classes {_listed(classes)}, in this order",) * several


def _from_file(parts: Sequence[Rows], roles: Roles, origin: FromFile, report: Report) -> _Adopted:
    data = _bytes(origin.path)
    kind = importing.recognise(data, origin.path.name)
    name = f"'{origin.path}'"
    # Categories are the imported model's business: none is pooled with others before it has seen them.
    learned = inference.learn(parts, replace(roles, rarest_category=1, with_levels=False))
    fields = _fields(learned.schema)
    try:
        if kind == importing.PICKLE and not origin.trust_pickle:
            raise UsageError(
                f"{name} is a pickle, and loading a pickle can run any code",
                "if you trust its source, add --trust-pickle; or save the model with skops",
            )
        if kind == importing.PICKLE:  # from here on it is what will be stored of it
            kind, data = importing.SKOPS, estimators.to_bytes(estimators.from_pickle(data, str(origin.path)))
        report("testing the model in a separate process")
        X, _ = encoding.encode(_sample(learned.rows), learned.schema)
        said = trial.import_file(trial.File(kind, data, str(origin.path), fields, origin.outputs, X))
        given: Any = data
        if kind == importing.SKOPS:
            kind, given = importing.SKLEARN, estimators.from_foreign(data, str(origin.path))
        base = bases.IMPORTABLE[kind].imported(given, fields, origin.outputs)
    except ValueError as error:
        raise DataError(f"{name} cannot be read as a model ({error})", "check the file") from error
    return learned.schema, learned.rows, (*learned.notes, *said), base, kind


def _from_object(parts: Sequence[Rows], roles: Roles, origin: FromObject) -> _Adopted:
    learned = inference.learn(parts, replace(roles, rarest_category=1, with_levels=False))
    base = bases.IMPORTABLE[origin.kind].imported(origin.model, _fields(learned.schema), {})
    return learned.schema, learned.rows, (*learned.notes, *base.notes), base, origin.kind


def _sample(rows: Rows) -> Rows:
    """Return up to so many rows, in random order."""
    shuffled = np.random.default_rng(0).permutation(len(rows))
    return rows.take(shuffled[:_TRIED_ROWS])


def _predicted(base: Base, X: Floats) -> Floats:
    try:
        return base.predict(X)
    except ModelError as error:  # of rows that were not tried
        raise DataError(error.message, "check the model and its columns") from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"'{path}' is larger than 2 GiB", "write its predictions as columns instead")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror})", "check --import") from error


def _fields(schema: Schema) -> Fields:
    """Return what the model room knows of the columns."""
    pairs = zip(schema.columns, schema.starts, strict=True)
    fields = (Field(c.name, c.kind.value, at, c.width, c.categories) for c, at in pairs)
    return Fields(tuple(fields), schema.target.classes)


def _losses(base: Base, rows: LabelledRows, problem: Problem, table: Rows) -> Floats:
    """Return the [n] losses of a base, whose predictions are checked; of very many classes some rows at a time."""
    losses = []
    for part in row_blocks(len(rows.y), problem.n_outputs):
        predicted = _predicted(base, rows.X[part])
        _refuse_improbable(base, rows.X[part], predicted, table, part.start)
        losses.append(metrics.row_loss(rows.y[part], predicted))
    return np.concatenate(losses)


def _refuse_improbable(base: Base, X: Floats, predicted: Floats, table: Rows, start: int) -> None:
    """Refuse numbers that are no probabilities, and predictions that are no numbers, of rows from `start` on."""
    if isinstance(base, Columns) and base.form == "probabilities":
        given = X[:, base.start : base.stop]
        total = given.sum(axis=1) if given.shape[1] > 1 else np.ones(len(given))
        wrong = np.flatnonzero((given < 0).any(axis=1) | (given > 1).any(axis=1) | (np.abs(total - 1) > _SUM_TOLERANCE))
        if len(wrong):
            values = ", ".join(f"{value:.4g}" for value in given[wrong[0], :5])
            raise DataError(
                f"{table.locate(start + int(wrong[0]))}: the base's probabilities are {values}"
                f"{', …' if given.shape[1] > 5 else ''}, which are not between 0 and 1 with a sum of 1",
                "give logits with --logits, or correct the columns",
            )
    wrong = np.flatnonzero(~np.isfinite(predicted).all(axis=1))
    if len(wrong):
        raise DataError(
            f"{table.locate(start + int(wrong[0]))}: the prediction of the base is not finite",
            "check the model and its columns",
        )


def _worse_than_nothing(own: Floats, rows: LabelledRows, problem: Problem, schema: Schema) -> tuple[str, ...]:
    """Say so if the base, of [n] losses, is worse than knowing nothing of a row: then something is mistaken."""
    nothing = bases.ESTIMATORS[bases.CONSTANT].fit(rows.X, rows.y, rows.weight, problem, {})
    without = [
        metrics.row_loss(rows.y[part], nothing.predict(rows.X[part]))
        for part in row_blocks(len(rows.y), problem.n_outputs)
    ]
    losses = [float(np.average(each, weights=rows.weight)) for each in (own, np.concatenate(without))]
    if losses[0] <= losses[1]:
        return ()
    objective = metrics.objectives(problem.is_regression)[0]
    found, constant = (metrics.as_metric(objective, loss) for loss in losses)
    what = "its units" if problem.is_regression else f"the order of its classes ({_listed(schema.target.class_names)})"
    return (
        f"the base's {objective} on these rows is {found:.4g}, worse than {constant:.4g} of a constant: check {what}",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
