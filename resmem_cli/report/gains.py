"""The gain on every metric, in slices, by class and by distance, and what the folds promised."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resmem_cli.model.metrics import Comparison
from resmem_cli.model.slices import Finding, SliceGain
from resmem_cli.report import words
from resmem_cli.report.charts import Bar, Whiskers
from resmem_cli.report.parts import Figure, Section, Table
from resmem_cli.workflow import measured
from resmem_cli.workflow.diagnose import Diagnosis, NamedGain
from resmem_cli.workflow.slices import Slice, Slices

_DRAWN, _LISTED = 6, 20  # slices of a kind
_HEADER = ("rows", "base", "with memory", "gain", "95 % interval")
_OFF = "The folds found no gain beyond its standard error, so the memory is off and nothing was promised."
_BY_CHANCE = "The probability that any is named by chance is at most 5 %."
_UNIT = "gain in percent of the base's value"


def by_metric(found: Diagnosis) -> Section:
    """Return base against memory on every metric."""
    evaluation = found.evaluation
    compared = evaluation.judged.metrics if evaluation.judged.are_enough else evaluation.metrics
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


def by_slice(found: Diagnosis) -> Section:
    """Return where the memory wins and loses: in slices of the features and, of classes, by the true class."""
    slices, figures, paragraphs = found.evaluation.slices, [], []
    judged = [each for each in slices.slices if each.of.is_judged] if slices is not None else []
    if slices is None or not judged:
        paragraphs.append("No slice of the features has enough rows that were not seen in fitting to say anything.")
    else:
        figures.append(_slices_figure(slices, _overall(found)))
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
    compared = (came.judged if came.judged.are_enough else came.every).metrics[stored.objective]
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
    n_rows = promised["rows"]
    rows = [
        (
            "folds",
            words.DASH if n_rows is None else f"{n_rows:,}",
            words.number(promised["base"]),
            words.number(promised["resmem"]),
            words.percent(percent, 2),
            words.interval(ends, 2),
        ),
        _row("these rows", found.n_rows, compared, compared.ci95),
    ]
    figure = Figure(
        "promise",
        f"Gain in {stored.objective}: folds and these rows",
        _kept_word(promise, ends, compared.ci95) if came.uses_memory else _OFF,
        Whiskers.of(bars, _UNIT),
        Table.of(("measured on", *_HEADER), rows),
    )
    return Section("folds", title, figures=(figure,))


def _kept_word(promise: float, ends: tuple[float, float], came: tuple[float, float]) -> str:
    what = "Folds of the training rows measured the gain when the memory was fitted; lines are 95 % intervals. "
    if any(math.isnan(end) for end in (promise, *ends, *came)):
        return f"{what}One of the two is not known, so they are not compared."
    if ends[0] <= came[1] and came[0] <= ends[1]:
        return f"{what}The two intervals overlap: these rows gain what was promised."
    less = came[1] < ends[0]
    return f"{what}The intervals do not overlap: these rows gain {'less' if less else 'more'} than was promised."


def _overall(found: Diagnosis) -> float:
    evaluation = found.evaluation
    sample = evaluation.judged if evaluation.judged.are_enough else evaluation.every
    return sample.metrics[evaluation.objective].gain_percent


def _lines(overall: float) -> list[tuple[float, str]]:
    return [(0.0, "")] + ([(overall, "all rows")] if math.isfinite(overall) and overall != 0 else [])


def _gains_figure(found: Diagnosis, gains: Sequence[NamedGain], identity: str, *, title: str, sentence: str) -> Figure:
    bars = [_bar(each.name, each.of) for each in gains[: 2 * _DRAWN]]
    rows = [_slice_row(each.name, each.of) for each in gains]
    few = "A point without a line has fewer than 30 rows, or most of the loss in a few of them."
    return Figure(
        identity,
        title,
        f"{sentence} All lines hold together with 95 %. {few}",
        Whiskers.of(bars, f"gain in {found.evaluation.objective}, percent", _lines(_overall(found))),
        Table.of((identity, *_HEADER), rows),
    )


def _slices_figure(slices: Slices, overall: float) -> Figure:
    chosen = _chosen(slices)
    others = [each for each in slices.slices if each not in chosen]
    others.sort(key=lambda each: each.of.contribution)
    more = len(others) - 2 * _LISTED
    listed = others if more <= 0 else others[:_LISTED] + others[-_LISTED:]
    note = f"Of the other slices those are listed that add least and most to the gain, without {more:,} between them. "
    note = note if more > 0 else ""
    left_out = (
        f"Left out, with one value or too many: {words.listed(list(slices.left_out))}. " if slices.left_out else ""
    )
    return Figure(
        "by-slice",
        f"Gain by slice of the {'features' if slices.is_auto else 'columns'}",
        _found_in(slices),
        Whiskers.of(
            [_bar(slice_name(each, words.IN_PICTURE), each.of) for each in chosen],
            f"gain in {slices.metric}, percent",
            _lines(overall),
        ),
        Table.of(("slice", *_HEADER), [_slice_row(slice_name(each), each.of) for each in [*chosen, *listed]]),
        more=f"{note}{left_out}All intervals hold together with 95 % (Bonferroni).",
    )


def _chosen(slices: Slices) -> list[Slice]:
    """Return the slices to draw: those that stand out or, without any, those that add least and most."""
    found = slices.standing_out
    if found:
        worse = [each for each in found if each.of.finding is not Finding.BETTER]
        better = [each for each in found if each.of.finding is Finding.BETTER]
        return [*worse[:_DRAWN], *better[-_DRAWN:]]
    judged = sorted((each for each in slices.slices if each.of.is_judged), key=lambda each: each.of.contribution)
    return judged if len(judged) <= _DRAWN else [*judged[: _DRAWN // 2], *judged[-_DRAWN // 2 :]]


def _found_in(slices: Slices) -> str:
    """Return a sentence on what stands out."""
    of = f"{words.count(len(slices.columns), 'feature' if slices.is_auto else 'column')}"
    looked = f"Of {words.count(len(slices.slices), 'slice')} of {of}"
    counts = {finding: sum(each.of.finding is finding for each in slices.slices) for finding in Finding}
    parts = [
        f"{what} in {counts[finding]:,}"
        for finding, what in (
            (Finding.HARMS, "harms"),
            (Finding.WORSE, "gains clearly less than in the other rows"),
            (Finding.BETTER, "gains clearly more"),
        )
        if counts[finding]
    ]
    if not parts:
        return f"{looked}, none is clearly harmed or differs from the other rows; these add least and most to the gain."
    harmless = "" if counts[Finding.HARMS] else " It clearly harms in none."
    return f"{looked} the memory {', '.join(parts)}.{harmless} {_BY_CHANCE}"


def harmed(found: Diagnosis) -> str:
    """Return a sentence on the slices that the memory harms for certain; empty without any."""
    slices = found.evaluation.slices
    standing_out = [] if slices is None else slices.standing_out
    names = [slice_name(each) for each in standing_out if each.of.finding is Finding.HARMS]
    return f"The memory harms where {words.listed(names, _DRAWN)}." if names else ""


def slice_name(found: Slice, most: int = words.IN_TABLE) -> str:
    """Return "cut = Ideal", or "carat 0.5 to 0.7", the value whole where the name can be shortened instead."""
    sign, value = " = " if found.bins == "value" else " ", words.short(found.value, most // 2)
    return f"{words.short(found.column, most - len(sign) - len(value))}{sign}{value}"


def _bar(name: str, gain: SliceGain) -> Bar:
    low, high = gain.interval
    return Bar(words.short(name, words.IN_PICTURE), gain.gain_percent, low, high, words.percent(gain.gain_percent))


def _slice_row(name: str, gain: SliceGain) -> tuple[str, ...]:
    return _row(name, gain.n_rows, gain, gain.interval)


def _row(name: str, n_rows: int, of: SliceGain | Comparison, ends: tuple[float, float]) -> tuple[str, ...]:
    return (
        words.short(name),
        f"{n_rows:,}",
        words.number(of.base),
        words.number(of.resmem),
        words.percent(of.gain_percent, 2),
        words.interval(ends, 2),
    )
