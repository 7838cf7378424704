"""Where the memory wins and loses: the slices of the features, or of the columns that were named."""

from __future__ import annotations

from resmem_cli.model.slices import Finding
from resmem_cli.report import gain_table, words
from resmem_cli.report.charts import Whiskers
from resmem_cli.report.parts import Figure, Table
from resmem_cli.workflow.slices import Slice, Slices

_DRAWN, _LISTED = 6, 20  # slices of a kind
_BY_CHANCE = "The probability that any is named by chance is at most 5 %."


def figure(slices: Slices, overall: float) -> Figure:
    """Return the slices that stand out or, without any, those that add least and most; `overall` is the gain in all."""
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
            [gain_table.bar(_name(each, words.IN_PICTURE), each.of) for each in chosen],
            f"gain in {slices.metric}, percent",
            gain_table.lines(overall),
        ),
        Table.of(
            ("slice", *gain_table.HEADER), [gain_table.slice_row(_name(each), each.of) for each in [*chosen, *listed]]
        ),
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


def harmed(slices: Slices | None) -> str:
    """Return a sentence on the slices that the memory harms for certain; empty without any."""
    standing_out = [] if slices is None else slices.standing_out
    names = [_name(each) for each in standing_out if each.of.finding is Finding.HARMS]
    return f"The memory harms where {words.listed(names, _DRAWN)}." if names else ""


def _name(found: Slice, most: int = words.IN_TABLE) -> str:
    """Return "cut = Ideal", or "carat 0.5 to 0.7", the value whole where the name can be shortened instead."""
    sign, value = " = " if found.bins == "value" else " ", words.short(found.value, most // 2)
    return f"{words.short(found.column, most - len(sign) - len(value))}{sign}{value}"
