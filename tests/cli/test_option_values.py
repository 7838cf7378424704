"""What the command line repeats of other rooms' lists, because help must not load them, is what those lists say."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable

import pytest

from resmem_cli.cli import base_report, fit_base, fit_residual
from resmem_cli.data.output import WRITERS
from resmem_cli.data.schema import Task
from resmem_cli.data.sources import Format
from resmem_cli.data.tables import READERS
from resmem_cli.model import bases, metrics, spaces
from resmem_cli.model.bases.columns import Form
from resmem_cli.model.bases.onnx import outputs
from resmem_cli.model.choosing.options import EFFORTS
from resmem_cli.model.spaces import encoder, training

AUTO = "auto"


@pytest.mark.parametrize(
    ("option", "values"),
    [
        (fit_base.TaskName, (AUTO, *Task)),
        (fit_residual.EncoderName, (AUTO, *encoder.KINDS)),
        (fit_residual.ResidualsName, (AUTO, *training.RESIDUAL_KINDS)),
        (fit_residual.MetricName, (AUTO, *metrics.objectives(True), *metrics.objectives(False))),
        (fit_residual.EffortName, tuple(EFFORTS)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_values_of_an_option(option: type[enum.StrEnum], values: tuple[str, ...]) -> None:
    assert list(map(str, option)) == list(map(str, values))


def test_the_estimators_that_help_lists() -> None:
    assert list(base_report.ESTIMATORS) == [AUTO, *bases.ESTIMATORS]
    assert [*bases.ESTIMATORS, *base_report.IMPORTED, bases.COLUMNS] == list(bases.KINDS)


def test_the_representations_that_help_lists() -> None:
    assert list(fit_residual.REPRESENTATIONS) == [AUTO, *(kind for kind in spaces.KINDS if kind != "column")]


def test_the_columns_of_another_model_and_the_outputs_of_onnx() -> None:
    options = inspect.signature(fit_base.fit_base).parameters
    assert set(typing.get_args(Form)) <= set(options)
    assert (*outputs.ROLES, outputs.EMBEDDING) == fit_base.OUTPUTS


def test_every_format_is_read_and_written() -> None:
    assert set(READERS) == set(WRITERS) == set(Format)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "x.csv", "--model", ""),
        ("predict", "x.csv", "--model", "m", "--output-dir", ""),
        ("fit-base", "x.csv", "--target", "y", "--model", ""),
        ("distill", "x.csv", "--model", "m", "--student", ""),
        ("compare", "", "m", "x.csv"),
        ("compare", "m", "", "x.csv"),
    ],
)
def test_a_directory_without_a_name_is_not_the_current_one(words: tuple[str, ...], fails: Callable[..., None]) -> None:
    """As where a variable of the shell was not set: outputs would lie among other files."""
    fails(2, "the name of a directory is ''; name one, such as . for the current one", *words)
