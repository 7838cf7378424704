"""Whether predictions mean what they say: predicted against true, coverage of intervals, drift of the inputs."""

from __future__ import annotations

from resmem_cli.data.schema import Task
from resmem_cli.model.reliability import Reliability
from resmem_cli.report import words
from resmem_cli.report.charts import Bar, Curves, Series, Whiskers
from resmem_cli.report.parts import Figure, Section, Table
from resmem_cli.workflow.diagnose import Diagnosis
from resmem_cli.workflow.input_drift import ColumnDrift

_DRAWN, _LISTED = 10, 40  # columns


def reliability(found: Diagnosis) -> Section:
    """Return predicted against true, and how well intervals hold."""
    is_regression = found.evaluation.task is Task.REGRESSION
    figures = [_numbers(found) if is_regression else _probabilities(found)]
    paragraphs = []
    if found.coverages:
        figures.append(_coverage(found, is_regression=is_regression))
    else:
        paragraphs.append(
            "Prediction intervals are not shown: this memory has too few held-out rows to make them from "
            "(fit-residual with --folds 2 or more)."
        )
    return Section("reliability", "Can predictions be taken at their word?", tuple(paragraphs), tuple(figures))


def _numbers(found: Diagnosis) -> Figure:
    return Figure(
        "predicted-and-true",
        "Predicted against true",
        "Rows in up to 20 bins of equally many, by their prediction. A point on the dashed diagonal is right on "
        f"average. Mean distance from it: base {words.number(found.base.error)}, with memory "
        f"{words.number(found.resmem.error)}.",
        _curves(found, "mean prediction", "mean true value", 1),
        _bins(found, ("model", "mean prediction", "mean true value", "rows"), 1),
    )


def _probabilities(found: Diagnosis) -> Figure:
    names = found.stored.base.schema.target.class_names
    what = f"of class {words.short(names[1], 30)}" if len(names) == 2 else "of the predicted class"
    return Figure(
        "calibration",
        f"Calibration of the probability {what}",
        "Rows in bins of a tenth of the probability. A point on the dashed diagonal came true as often as was said. "
        f"Mean distance from it (expected calibration error): base {words.share(found.base.error)}, with memory "
        f"{words.share(found.resmem.error)}.",
        _curves(found, f"mean probability {what}, percent", "came true, percent", 100),
        _bins(found, ("model", "mean probability, %", "came true, %", "rows"), 100),
    )


def _both(found: Diagnosis) -> list[tuple[str, Reliability]]:
    return [("base", found.base), ("with memory", found.resmem)]


def _curves(found: Diagnosis, x: str, y: str, unit: float) -> Curves:
    return Curves.of(
        [
            Series(name, tuple(zip((unit * of.predicted).tolist(), (unit * of.actual).tolist(), strict=True)))
            for name, of in _both(found)
        ],
        x,
        y,
    )


def _bins(found: Diagnosis, header: tuple[str, ...], unit: float) -> Table:
    rows = [
        (name, words.number(unit * predicted), words.number(unit * actual), f"{n_rows:,}")
        for name, of in _both(found)
        for predicted, actual, n_rows in zip(of.predicted, of.actual, of.n_rows, strict=True)
    ]
    return Table.of(header, rows)


def _coverage(found: Diagnosis, *, is_regression: bool) -> Figure:
    what, size = ("intervals", "mean width") if is_regression else ("sets of classes", "mean number of classes")
    always = "" if is_regression else " A set always holds the most probable class, so that low levels cover more."
    points = tuple((100 * each.level, 100 * each.coverage) for each in found.coverages)
    off = max(found.coverages, key=lambda each: abs(each.coverage - each.level))
    rows = [(words.level(each.level), words.share(each.coverage), words.number(each.size)) for each in found.coverages]
    return Figure(
        "coverage",
        f"Coverage of prediction {what}",
        f"Prediction {what} of a level should hold the truth that often: on the dashed diagonal; below it they promise "
        f"too much. Farthest from it is the level {words.level(off.level)}, which covers {words.share(off.coverage)} "
        f"of the rows.{always}",
        Curves.of([Series("with memory", points)], "level, percent", "rows covered, percent"),
        Table.of(("level", "covered", size), rows, n_text=0),
        is_open=True,
    )


def drift(found: Diagnosis) -> Section:
    """Return how the features differ from those of the training rows."""
    columns = found.drift.columns
    odd = [
        f"{words.share(found.far)} of the rows are farther from all remembered rows than 99 % of these are from each "
        "other (about 1 % would be usual)."
    ]
    outside = next((1 - each.coverage for each in found.coverages if each.level == 0.99), None)
    if outside is not None:
        odd.append(f"{words.share(outside)} have a target outside their 99 % prediction interval or set.")
    shifted = sorted((each for each in columns if each.shift is not None), key=lambda each: -(each.shift or 0))
    notable = [each for each in columns if each.missing or each.unknown or each.outside]
    odd.append(_counted(notable))
    paragraphs, figures = [" ".join(odd)], []
    if shifted:
        figures.append(_shifts(found, shifted))
    else:
        paragraphs.append("This model keeps no distribution of its training rows to compare numeric features with.")
    return Section("drift", "Are these rows like the training rows?", tuple(paragraphs), tuple(figures))


def _counted(notable: list[ColumnDrift]) -> str:
    if not notable:
        return "No value is missing, no category is unknown, and no number is outside the range of the training rows."
    names = words.listed([each.name for each in notable])
    return f"Missing values, unknown categories or numbers outside the range of the training rows: in {names}."


def _shifts(found: Diagnosis, shifted: list[ColumnDrift]) -> Figure:
    chance = found.drift.by_chance
    beyond = [each.name for each in shifted if (each.shift or 0) > chance]
    said = f"{words.listed(beyond)} moved by more than chance." if beyond else "No feature moved by more than chance."
    others = [each for each in found.drift.columns if each.shift is None]
    listed = [*shifted, *others]
    rows = [
        (
            words.short(each.name),
            words.share(each.shift),
            words.share(each.outside),
            words.share(each.missing),
            words.share(each.unknown),
        )
        for each in listed[:_LISTED]
    ]
    bars = [
        Bar(words.short(each.name, words.IN_PICTURE), 100 * (each.shift or 0), text=words.share(each.shift))
        for each in shifted[:_DRAWN]
    ]
    more = len(listed) - _LISTED
    return Figure(
        "shifts",
        "How far numeric features moved",
        "The largest distance between the cumulative distributions of these rows and of the training rows (Kolmogorov-"
        f"Smirnov). Without any change no feature would be right of the line, with a probability of 95 %. {said}",
        Whiskers.of(bars, "shift, percent of the rows", [(0.0, ""), (100 * chance, "chance")]),
        Table.of(("feature", "shift", "outside range", "missing", "unknown"), rows),
        more=f"And {words.count(more, 'more feature')}." if more > 0 else "",
    )
