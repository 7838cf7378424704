"""The few rows that the memory improved or spoilt most, with the remembered rows that moved them."""

from __future__ import annotations

from resmem_cli.report import words
from resmem_cli.report.parts import Card, Group, Section, Table
from resmem_cli.workflow.diagnose import Diagnosis
from resmem_cli.workflow.examples import Example

_NAMED = 3  # rows of a neighbour


def examples(found: Diagnosis) -> Section:
    """Return the rows, for better and for worse."""
    better = [_card(found, each) for each in found.examples if each.is_improved]
    worse = [_card(found, each) for each in found.examples if not each.is_improved]
    groups = (
        Group("For better", "" if better else "The memory improved no row.", tuple(better)),
        Group("For worse", "" if worse else "The memory spoilt no row.", tuple(worse)),
    )
    target = words.short(found.stored.base.schema.target.name, 60)
    what = "the predicted class's probability" if found.by_class else target
    return Section(
        "examples",
        "Rows that changed most",
        (
            f"The rows whose loss in {found.evaluation.objective} the memory changed most, with the remembered rows "
            f"that moved the prediction most. A contribution is what a neighbour adds to {what}.",
        ),
        groups=groups,
    )


def _card(found: Diagnosis, example: Example) -> Card:
    why = example.explained
    named = words.short(why.id, 40) if why.id else f"number {why.row:,}"
    has_several = len(found.stored.resmem.members) > 1
    rows = [
        (
            _remembered(each.rows, each.count)
            + (f" (memory\N{NO-BREAK SPACE}{each.memory + 1})" if has_several else ""),
            words.brief(each.contribution),
            words.brief(each.residual),
            words.brief(each.distance).lstrip("+"),
        )
        for each in why.neighbors
    ]
    if why.n_others:
        rows.append((words.count(why.n_others, "other"), words.brief(why.others), "", ""))
    if why.adjustment:
        rows.append(("other bases, temperature, bounds", words.brief(why.adjustment), "", ""))
    header = ("neighbour", "contribution", "residual", "distance")
    features = tuple((words.short(name, 40), words.short(value, 40)) for name, value in example.features)
    return Card(f"Row {named}", _sentence(example), features, Table.of(header, rows))


def _sentence(example: Example) -> str:
    why = example.explained
    far = " It is unlike all remembered rows." if why.percentile > 99 else ""
    if isinstance(example.truth, str):
        predicted = "" if why.label == example.truth else f" Predicted is {words.short(why.label or '', 40)}."
        return (
            f"True class {words.short(example.truth, 40)}: its probability is {words.share(example.base)} by the base, "
            f"{words.share(example.resmem)} with the memory.{predicted}{far}"
        )
    errors = [abs(each - example.truth) for each in (example.base, example.resmem)]
    return (
        f"True value {words.number(example.truth)}: base {words.number(example.base)}, with memory "
        f"{words.number(example.resmem)}; the error {'falls' if errors[1] < errors[0] else 'rises'} from "
        f"{words.number(errors[0])} to {words.number(errors[1])}.{far}"
    )


def _remembered(rows: tuple[str, ...], count: float) -> str:
    named = ", ".join(words.short(each, 30) for each in rows[:_NAMED])
    return named + (f" and others, {count:g} in all" if len(rows) > _NAMED or count > len(rows) else "")
