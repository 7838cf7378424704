"""The files that a run of predict leaves for other programs: failures as JSON lines, and metrics for Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from resmem_cli.data.output import made_whole
from resmem_cli.data.places import Place, place
from resmem_cli.errors import OutputError
from resmem_cli.workflow.inputs import Input, refuse_overwriting
from resmem_cli.workflow.predicted import Predicted

_PREFIX = "resmem_predict"


def refuse_unwritable(path: str | None, option: str, source: Input, model: Place) -> None:
    """Refuse a file that cannot be written, or would replace an input or a part of the model, before the work is done.

    Raises:
        OutputError: its folder is not there.
        UsageError: it is an input, or lies in the model directory.
    """
    if path is None:
        return
    refuse_overwriting(source, path, model, option=option)
    target = place(path)
    if isinstance(target, Path) and not target.absolute().parent.is_dir():
        raise OutputError(f"'{path}' cannot be written (No such file or directory)", "create the directory first")


def write_failures(path: str, done: Predicted) -> None:
    """Write one JSON object for each file that failed: none if none did.

    Raises:
        OutputError: the file cannot be written.
    """
    with made_whole(place(path), option="--failures") as stream:
        for failure in done.failures:
            stream.write(json.dumps(failure.to_json(), ensure_ascii=False).encode() + b"\n")


def write_metrics(path: str, done: Predicted) -> None:
    """Write the figures of a run in Prometheus' text format, for its node exporter's textfile collector.

    Raises:
        OutputError: the file cannot be written.
    """
    with made_whole(place(path), option="--metrics") as stream:
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
