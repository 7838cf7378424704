"""What an evaluation is to reach: one option per metric."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

# Per metric, from which side it is limited: losses from above, scores from below. Help must not load the metrics
# themselves; a test compares the two.
SIDES = {
    "rmse": "max",
    "mae": "max",
    "r2": "min",
    "log_loss": "max",
    "accuracy": "min",
    "balanced_accuracy": "min",
    "roc_auc": "min",
    "brier": "max",
}
_WORDS = {"max": "above", "min": "below"}


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option per metric in the place of its parameter `limits`, a dictionary of those that are given.

    Typer reads the options of a command from its signature.
    """
    signature = inspect.signature(command, eval_str=True)
    options = {f"{side}_{metric}": metric for metric, side in SIDES.items()}
    parameters = []
    for parameter in signature.parameters.values():
        own = [_option(name, metric) for name, metric in options.items()] if parameter.name == "limits" else [parameter]
        parameters += own

    @functools.wraps(command)
    def with_limits(**values: Any) -> None:
        given = {metric: values.pop(name) for name, metric in options.items()}
        command(**values, limits={metric: limit for metric, limit in given.items() if limit is not None})

    with_limits.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_limits


def number(text: str) -> float:
    """Return the number that an option holds, of which a percent sign is no part."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(_wrong(text, is_percent=False)) from None


def percent(text: str) -> float:
    """Return the number of an option that is in percent."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(_wrong(text, is_percent=True)) from None


def _wrong(text: str, *, is_percent: bool) -> str:
    bare = text.rstrip("% ")
    with contextlib.suppress(ValueError):
        if bare != text:
            return f"'{text}' has a percent sign; give {float(bare) / (1 if is_percent else 100):g}"
    return f"'{text}' is no number"


def _option(name: str, metric: str) -> inspect.Parameter:
    declared = typer.Option(
        f"--{name.replace('_', '-')}",
        metavar="VALUE",
        parser=number,
        help=f"Exit with code 5 if {metric} with the memory is {_WORDS[SIDES[metric]]} this.",
    )
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[float | None, declared]
    )
