"""The files that a run of predict leaves for other programs: failures as JSON lines, and metrics for Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from resmem_cli.data.output import STDOUT, opened
from resmem_cli.data.places import Place, is_within, place, resolved
from resmem_cli.data.replacement import is_special
from resmem_cli.errors import OutputError, UsageError
from resmem_cli.workflow.finished import FOLDER
from resmem_cli.workflow.inputs import Input, refuse_overwriting
from resmem_cli.workflow.predicted import Predicted

_PREFIX = "resmem_predict"


def refuse_unwritable(
    beside: Mapping[str, str],
    source: Input,
    model: Place,
    written: Iterable[Place],
    directory: Place | None = None,
) -> None:
    """Refuse files that cannot be written, or would replace another file of the run, before the work is done.

    Args:
        beside: the files, by the options that name them.
        source: the inputs, which stay.
        model: likewise.
        written: the outputs: that of --output or, if there is a `directory`, those of --output-dir.
        directory: of the outputs.

    Raises:
        OutputError: the folder of one is not there.
        UsageError: one is an input, an output or another one of them, or lies in the model directory.
    """
    beside = {option: path for option, path in beside.items() if path != STDOUT}
    if not beside:
        return
    outputs = [*written]
    taken = {resolved(each): ("--output" if directory is None else "--output-dir", each) for each in outputs}
    for option, path in beside.items():
        target = place(path)
        if directory is not None and _is_of_directory(target, directory, outputs):
            taken[resolved(target)] = "--output-dir", directory
        other, there = taken.setdefault(resolved(target), (option, target))
        if other != option and not (is_special(target) and is_special(there)):
            raise UsageError(f"{option} and {other} both write '{target}'", f"name another {option}")
    for option, path in beside.items():
        refuse_overwriting(source, path, model, option=option)
        target = place(path)
        if isinstance(target, Path) and not target.absolute().parent.is_dir():
            raise OutputError(f"'{path}' cannot be written (No such file or directory)", "create the directory first")


def _is_of_directory(target: Place, directory: Place, outputs: Iterable[Place]) -> bool:
    """Whether a place is one of the folders that outputs lie in, or belongs to what is noted of those finished."""
    folders = {directory, *(each.parent for each in outputs)}
    return is_within(target, directory / FOLDER) or any(is_within(folder, target) for folder in folders)


def write_failures(path: str, done: Predicted) -> None:
    """Write one JSON object for each file that failed: none if none did.

    Raises:
        OutputError: the file cannot be written.
    """
    with opened(path, option="--failures") as stream:
        for failure in done.failures:
            stream.write(json.dumps(failure.to_json(), ensure_ascii=False).encode() + b"\n")


def write_metrics(path: str, done: Predicted) -> None:
    """Write the figures of a run in Prometheus' text format, for its node exporter's textfile collector.

    Raises:
        OutputError: the file cannot be written.
    """
    with opened(path, option="--metrics") as stream:
        stream.write("".join(f"{line}\n" for line in _lines(done, time.time())).encode())


def _lines(done: Predicted, now: float) -> Iterator[str]:
    found = done.surprises
    files = {"predicted": done.n_files, "skipped": done.n_kept, "failed": len(done.failures)}
    yield from _metric("rows", "Rows predicted by the last run.", {"": done.n_rows})
    yield from _metric("seconds", "Seconds that the last run predicted.", {"": done.seconds})
    yield from _metric("files", "Files of the last run.", _labelled("state", files))
    yield from _metric("missing_values", "Missing values in features.", _labelled("column", found.missing))
    yield from _metric(
        "unknown_categories", "Categories that training did not have.", _labelled("column", found.unknown)
    )
    yield from _metric("not_finite_rows", "Rows whose prediction is not finite.", {"": found.not_finite})
    for name, sketch, what in (
        ("distance_percentile", done.tally.distances, "How far rows are from what is remembered, in percentiles."),
        ("interval_width", done.tally.widths, "Widths of intervals, or numbers of classes in prediction sets."),
    ):
        if len(sketch):
            quantiles = {f"{level / 100:g}": sketch.percentile(level) for level in (50, 90, 99)}
            yield from _metric(name, what, _labelled("quantile", quantiles))
    yield from _metric("model_info", "The model of the last run.", _labelled("model", {done.model: 1}))
    yield from _metric("end_timestamp_seconds", "When the last run ended, in Unix time.", {"": round(now, 3)})


def _metric(name: str, what: str, values: Mapping[str, float]) -> Iterator[str]:
    if values:
        yield f"# HELP {_PREFIX}_{name} {what}"
        yield f"# TYPE {_PREFIX}_{name} gauge"
    for labels, value in values.items():
        yield f"{_PREFIX}_{name}{labels} {value!r}"


def _labelled(label: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{{{label}="{_escaped(name)}"}}': value for name, value in values.items()}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
