"""The gain on every metric, in slices, by class and by distance, and what the folds promised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from resmem_cli.report import by_slice, gain_table, words
from resmem_cli.report.charts import Bar, Whiskers
from resmem_cli.report.parts import Figure, Section, Table
from resmem_cli.workflow import measured
from resmem_cli.workflow.diagnose import Diagnosis, NamedGain

_DRAWN = 12  # classes
_OFF = "The memory is off: nothing was promised, and nothing came."
_UNIT = "gain in percent of the base's value"


def by_metric(found: Diagnosis) -> Section:
    """Return base against memory on every metric."""
    compared = found.evaluation.shown.metrics
    bars = [
        Bar(name, each.gain_percent, each.ci95[0], each.ci95[1], text=words.percent(each.gain_percent))
        for name, each in compared.items()
    ]
    rows = [
        (
            name,
            words.number(each.base),
            words.number(each.resmem),
            words.percent(each.gain_percent, 2),
            words.interval(each.ci95, 2),
        )
        for name, each in compared.items()
    ]
    figure = Figure(
        "metrics",
        "Gain on every metric",
        "Right of 0 the memory is better than the base alone. Lines are 95 % intervals of the gain (paired bootstrap). "
        "A disc is certainly better, a diamond certainly worse, a ring neither.",
        Whiskers.of(bars, _UNIT),
        Table.of(("metric", "base", "with memory", "gain", "95 % interval"), rows),
        is_open=True,
        more=" ".join(f"{name}: {words.METRICS[name]}." for name in compared if name in words.METRICS),
    )
    return Section("base-and-memory", "Base against memory", figures=(figure,))


def by_part(found: Diagnosis) -> Section:
    """Return where the memory wins and loses: in slices of the features and, of classes, by the true class."""
    slices, figures, paragraphs = found.evaluation.slices, [], []
    judged = [each for each in slices.slices if each.of.is_judged] if slices is not None else []
    if slices is None or not judged:
        paragraphs.append("No slice of the features has enough rows that were not seen in fitting to say anything.")
    else:
        figures.append(by_slice.figure(slices, _overall(found)))
    if found.by_class:
        title, sentence = "Gain by true class", "Rows put together by their true class, the most frequent first."
        figures.append(_gains_figure(found, found.by_class, "class", title=title, sentence=sentence))
    return Section("slices", "Where it wins and loses", tuple(paragraphs), tuple(figures))


def by_distance(found: Diagnosis) -> Section:
    """Return the gain against the distance of the nearest remembered row."""
    figure = _gains_figure(
        found,
        found.by_distance,
        "percentile",
        title="Gain against the distance of the nearest remembered row",
        sentence="Rows put together by how far their nearest remembered row is, nearest first. Percentile 50 to 75: "
        "farther than 50 to 75 % of the remembered rows are from each other.",
    )
    return Section("distance", "Near and far from what is remembered", figures=(figure,))


def by_folds(found: Diagnosis) -> Section:
    """Return what the folds of fit-residual promised, and what came."""
    stored, title = found.stored, "What was promised, and what came"
    if not stored.folds:
        return Section(
            "folds", title, ("The settings were given, and no folds measured a gain: nothing was promised.",)
        )
    promised, came = measured.measured(stored.folds, stored.objective), found.evaluation
    compared = came.shown.metrics[stored.objective]
    percent, error = promised["gain_percent"], promised["standard_error_percent"]
    known = percent is not None and error is not None
    ends = (percent - 1.96 * error, percent + 1.96 * error) if known else (math.nan, math.nan)
    promise = math.nan if percent is None else percent
    bars = [
        Bar("promised by the folds", promise, ends[0], ends[1], text=words.percent(percent)),
        Bar(
            "came on these rows",
            compared.gain_percent,
            compared.ci95[0],
            compared.ci95[1],
            text=words.percent(compared.gain_percent),
        ),
    ]
    rows = [
        _promised_row(promised, ends),
        gain_table.row("these rows", found.n_rows, compared, compared.ci95),
    ]
    figure = Figure(
        "promise",
        f"Gain in {stored.objective}: folds and these rows",
        _kept_word(promise, ends, compared.ci95) if came.uses_memory else _OFF,
        Whiskers.of(bars, _UNIT),
        Table.of(("measured on", *gain_table.HEADER), rows),
    )
    return Section("folds", title, figures=(figure,))


def _promised_row(promised: Mapping[str, Any], ends: tuple[float, float]) -> tuple[str, ...]:
    n_rows = promised["rows"]
    return (
        "folds",
        words.DASH if n_rows is None else f"{n_rows:,}",
        words.number(promised["base"]),
        words.number(promised["resmem"]),
        words.percent(promised["gain_percent"], 2),
        words.interval(ends, 2),
    )


def _kept_word(promise: float, ends: tuple[float, float], came: tuple[float, float]) -> str:
    what = "Folds of the training rows measured the gain when the memory was fitted; lines are 95 % intervals. "
    if any(math.isnan(end) for end in (promise, *ends, *came)):
        return f"{what}One of the two is not known, so they are not compared."
    if ends[0] <= came[1] and came[0] <= ends[1]:
        return f"{what}The two intervals overlap: these rows gain what was promised."
    less = came[1] < ends[0]
    return f"{what}The intervals do not overlap: these rows gain {'less' if less else 'more'} than was promised."


def _overall(found: Diagnosis) -> float:
    return found.evaluation.shown.metrics[found.evaluation.objective].gain_percent


def _gains_figure(found: Diagnosis, gains: Sequence[NamedGain], identity: str, *, title: str, sentence: str) -> Figure:
    bars = [gain_table.bar(each.name, each.of) for each in gains[:_DRAWN]]
    rows = [gain_table.slice_row(each.name, each.of) for each in gains]
    few = "A point without a line has fewer than 30 rows, or most of the loss in a few of them."
    return Figure(
        identity,
        title,
        f"{sentence} All lines hold together with 95 %. {few}",
        Whiskers.of(bars, f"gain in {found.evaluation.objective}, percent", gain_table.lines(_overall(found))),
        Table.of((identity, *gain_table.HEADER), rows),
    )
