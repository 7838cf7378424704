"""The report: tables as Markdown and JSON, where the memory harms, and whether the folds told the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resmem_cli.data.replacement import replacing
from tests.bench.accuracy import marks, standings, trust
from tests.bench.accuracy.protocols import TABARENA, TALENT
from tests.bench.accuracy.runs import Found, Options
from tests.bench.accuracy.tabarena import PublishedSet
from tests.bench.accuracy.tables import tables

_WITHOUT_TABARENA = """\
## TabArena

Its published results are not there, so where ours would stand in them is left out: name the CSV file with --tabarena
or RESMEM_TABARENA."""


def write(found: list[Found], options: Options, results: Path, published: Mapping[str, PublishedSet]) -> str:
    """Write report-OPTIONS.md and .json and return the Markdown; what is published on a set is of TabArena."""
    protocol = options.protocol
    made = tables(found, protocol.sources)
    standing = standings.standings(found, published)
    # Fewer rows do not have to reach what was reached with all of them.
    reached = marks.marks(found) if protocol is TALENT and options.n_rows is None else []
    harms = trust.harms(found)
    points = trust.points(found)
    content = {
        "options": options.of_ours,
        "code": _codes(found),
        "tables": [table.to_json() for table in made],
        "marks": [mark.to_json() for mark in reached],
        "tabarena": [one.to_json() for one in standing],
        "harms": harms,
        "folds_against_test": trust.distances(points) | {"points": [vars(point) for point in points]},
    }
    parts = [f"# Accuracy: {options.of_ours}", _notes(found, options), *(table.markdown() for table in made)]
    parts += [marks.markdown(reached)] if reached else []
    if protocol is TABARENA:
        parts.append(standings.markdown(standing) if published else _WITHOUT_TABARENA)
    parts += [_harm_list(harms), _distances(points)]
    markdown = "\n\n".join(parts) + "\n"
    results.mkdir(parents=True, exist_ok=True)
    for ending, text in (("md", markdown), ("json", json.dumps(content, indent=1) + "\n")):
        with replacing(results / f"report-{options.of_ours}.{ending}") as stream:
            stream.write(text.encode())
    return markdown


def draw(found: list[Found], options: Options, results: Path) -> str:
    """Draw the folds' gains against those on the test rows, and return a sentence about it."""
    points = trust.points(found)
    path = results / f"folds-against-test-{options.of_ours}.png"
    if not points:
        return "There is no run of ours with folds to draw."
    if not trust.plot(points, path):
        return "matplotlib is not installed, so nothing is drawn (it comes with the extra 'bench')."
    return f"The folds' gains against those on the test rows are drawn in {path.name}."


def _notes(found: list[Found], options: Options) -> str:
    lines = [options.protocol.note]
    if options.train_on != "train":
        lines.append("Ours, and rivals that do not stop early, are fitted on train and validation rows together.")
    if options.n_rows is not None:
        lines.append(f"Of each data set at most {options.n_rows:,} rows: not comparable with what is published.")
    if len(_codes(found)) > 1:
        lines.append(f"Our runs are of {len(_codes(found))} states of the program (--redo-changed repeats older ones).")
    lines += [f"{source.name}: {source.origin}; {source.notes}." for source in options.protocol.sources]
    return "\n".join(lines)


def _codes(found: list[Found]) -> list[str]:
    return sorted({record["code"] for _, record in found if "code" in record})


def _harm_list(harms: list[dict[str, Any]]) -> str:
    lines = ["## Where the memory harms", "", "Mean gain on the test rows below zero by more than its standard error:"]
    for harm in harms:
        error = (
            "one seed" if harm["standard_error"] is None else f"± {harm['standard_error']:.2f}, {harm['seeds']} seeds"
        )
        lines.append(f"- {harm['set']}, {harm['base']}: {harm['metric']} {harm['gain_percent']:+.2f} % ({error})")
    return "\n".join(lines if harms else [*lines[:2], "Nowhere by more than its standard error."])


def _distances(points: list[trust.Point]) -> str:
    """The folds' promises beside what came of them, each data set and base, and all together."""
    title = "## The folds' gain against the gain on the test rows"
    found = trust.distances(points)
    if not found["runs_with_memory"]:
        return f"{title}\n\nNo run uses a memory, of {found['runs']} with folds."
    sentence = (
        f"In percent of the base's RMSE or log-loss. Median distance: {found['median_distance_with_memory']:.2f} over "
        f"the {found['runs_with_memory']} runs that use a memory; {found['median_distance']:.2f} over all "
        f"{found['runs']} runs, where a memory that the folds refused promises nothing and changes nothing."
    )
    return f"{title}\n\n{sentence}\n\n{trust.gains(points)}"
