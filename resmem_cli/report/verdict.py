"""What stands first: the verdict in a sentence, three figures, and what to know of the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resmem_cli.report import by_slice, words
from resmem_cli.workflow import scores
from resmem_cli.workflow.diagnose import Diagnosis


@dataclass(frozen=True)
class Verdict:
    """The head of a page.

    Attributes:
        kind: "better", "worse", "open" or "off", by which it is coloured.
        word: the same in words.
        headline: a short sentence.
        sentence: the verdict of `evaluate`.
        tiles: (what, value, beside it) of the most important figures.
        notes: sentences on the rows.
    """

    kind: str
    word: str
    headline: str
    sentence: str
    tiles: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


def of(found: Diagnosis) -> Verdict:
    """Return the verdict on a model."""
    evaluation, name = found.evaluation, found.evaluation.objective
    compared = evaluation.shown.metrics[name]
    kind, word, headline = _headline(found)
    tiles = (
        ("gain", words.percent(compared.gain_percent), f"95 % interval {words.interval(compared.ci95)}"),
        ("base alone", words.number(compared.base), name),
        ("with memory", words.number(compared.resmem), name),
    )
    return Verdict(kind, word, headline, words.short(evaluation.verdict, 1_000), tiles, _notes(found))


def _headline(found: Diagnosis) -> tuple[str, str, str]:
    evaluation, name = found.evaluation, found.evaluation.objective
    if not evaluation.uses_memory:
        return "off", "memory off", "The memory is off: predictions are the base's"
    if not evaluation.judged.are_enough:
        return "open", "not judged", "There are too few rows to judge the memory by"
    compared = evaluation.judged.metrics[name]
    low, high = compared.ci95
    if low > 0:
        but = scores.contradictions(evaluation.judged.metrics, name)
        size = f"The memory makes {name} {words.percent(compared.gain_percent).lstrip('+')} better"
        return ("open", "mixed", f"{size}, and other metrics worse") if but else ("better", "helps", size)
    if high < 0:
        worse = words.percent(-compared.gain_percent).lstrip("+")
        return "worse", "harms", f"The memory makes {name} {worse} worse"
    return "open", "no evidence", f"No evidence that the memory changes {name}"


def _notes(found: Diagnosis) -> tuple[str, ...]:
    evaluation = found.evaluation
    notes = [each for each in [by_slice.harmed(evaluation.slices)] if each]
    if evaluation.n_seen:
        of_all = f"{evaluation.n_seen:,} of the {words.count(evaluation.n_rows, 'row')} equal training rows"
        about = (
            f"this page is about the {found.n_rows:,} others"
            if evaluation.judged.are_enough
            else "the others are too few, so this page shows all rows and is too optimistic"
        )
        notes.append(f"{of_all}: {about}.")
    if evaluation.n_dropped:
        notes.append(f"{words.count(evaluation.n_dropped, 'row')} without a target (or weight) left out.")
    if evaluation.n_unknown_class:
        notes.append(f"{words.count(evaluation.n_unknown_class, 'row')} of a class not in the training data left out.")
    if math.isnan(evaluation.every.metrics[evaluation.objective].gain_percent):
        notes.append("The gain in percent is not known, because the base's value is 0 or below.")
    return (*notes, *(f"{words.short(note, 400)}." for note in evaluation.notes))
