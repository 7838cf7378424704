"""The gain by slices, for people."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from resmem_cli.cli import console
from resmem_cli.cli.figures import interval, percent
from resmem_cli.cli.tables import shortened

if TYPE_CHECKING:
    from resmem_cli.workflow.slices import Slice, Slices

_MOST = 10  # slices of a kind that `--by auto` lists
_VALUE, _NAME = 22, 30  # columns of a terminal that a value may take, and a column's name with it


def print_slices(found: Slices) -> None:
    """Print the slices of every column, or those that stand out among all features."""
    if found.is_auto:
        _print_standing_out(found)
        return
    for column, slices in itertools.groupby(found.slices, lambda each: each.column):
        listed = list(slices)
        bins = f" ({listed[0].bins}s)" if listed[0].bins != "value" else ""
        rows = [
            (
                shortened(each.value, _VALUE),
                f"{each.of.n_rows:,}",
                console.number(each.of.base),
                console.number(each.of.resmem),
                percent(each.of.gain_percent),
                _interval(each.of.interval),
            )
            for each in listed
        ]
        print()
        console.table((shortened(column, _VALUE) + bins, "rows", "base", "resmem", "gain %", "95 % interval"), rows)
    console.tell("", f"Slices that add least to the gain in {found.metric} come first. {_intervals(found)}")
    harmed = [_name(each) for each in found.standing_out if each.of.finding == "harms"]
    if harmed:
        more = f" and {len(harmed) - _MOST} more" if len(harmed) > _MOST else ""
        console.tell(f"The memory harms where {', '.join(harmed[:_MOST])}{more}.")


def _print_standing_out(found: Slices) -> None:
    from resmem_cli.model.slices import Finding

    n_slices = len(found.slices)
    looked = f"Looked at {console.count(n_slices, 'slice')} of {console.count(len(found.columns), 'feature')}"
    if found.left_out:
        looked += f" (left out, with one value or too many: {', '.join(found.left_out)})"
    if found.n_judged < n_slices:
        looked += f", {found.n_judged:,} with at least {found.least_rows} {found.unit}s"
    if not found.n_judged:
        console.tell("", f"{looked}. {_intervals(found)}")
        return
    if not found.standing_out:
        console.tell(
            "",
            f"{looked}: in none of them does the memory clearly harm {found.metric}, or gain clearly less or more than "
            "in the other rows.",
        )
        return
    console.tell("", f"{looked}. The probability that any stands out by chance is at most 5 % (Bonferroni).")
    for finding, what in (
        (Finding.HARMS, "The memory harms:"),
        (Finding.WORSE, "The memory gains less than in the other rows:"),
        (Finding.BETTER, "The memory gains more than in the other rows:"),
    ):
        listed = [each for each in found.standing_out if each.of.finding is finding]
        if finding is Finding.BETTER:
            listed.reverse()
        if listed:
            console.tell("", what)
            rows = [
                (
                    _name(each),
                    f"{each.of.n_rows:,}",
                    percent(each.of.gain_percent),
                    _interval(each.of.interval),
                    percent(each.of.rest_percent),
                )
                for each in listed[:_MOST]
            ]
            console.table(("slice", "rows", "gain %", "95 % interval", "other rows"), rows)
            if len(listed) > _MOST:
                console.tell(f"and {len(listed) - _MOST} more, which --json lists")


def _name(found: Slice) -> str:
    from rich.cells import cell_len

    sign, value = " = " if found.bins == "value" else " ", shortened(found.value, _VALUE)
    return f"{shortened(found.column, _NAME - len(sign) - cell_len(value))}{sign}{value}"


def _interval(ends: tuple[float, float]) -> str:
    """Return "+1.20 to +3.40 %"; one end alone where the rows bound only that, and a dash where neither."""
    low, high = ends
    if math.isnan(low) and not math.isnan(high):
        return f"up to {high:+.2f} %"
    return f"from {low:+.2f} %" if math.isnan(high) and not math.isnan(low) else interval(ends)


def _intervals(found: Slices) -> str:
    """Return a sentence on the intervals that are shown, and on why others are not."""
    few = f"fewer than {found.least_rows} {found.unit}s"
    n_shown = sum(not all(map(math.isnan, each.of.interval)) for each in found.slices)
    if not n_shown:
        or_heavy = f", or most of the loss in a few {found.unit}s" if found.n_judged else ""
        return f"No slice has an interval: each has {few}{or_heavy}."
    hold = f"All {n_shown:,} intervals hold together" if n_shown > 1 else "The interval holds"
    return f'{hold} with 95 % (Bonferroni). "-": {few}, or most of the loss in a few {found.unit}s.'
