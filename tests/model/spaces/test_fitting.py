"""Spaces side by side: each as if it were fitted alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import parallel, spaces
from resmem_cli.model.spaces.fitting import Job, fit_spaces
from tests.model.examples import REGRESSION, make_rows, rows_of, training_of


def test_several_encoders_are_trained_side_by_side_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 100)
    X, y, problem = make_rows(120, REGRESSION)
    said: list[str] = []
    trainings = [
        replace(training_of(rows_of(X, y), problem, estimator=name), report=said.append)
        for name in ("constant", "linear")
    ]
    jobs: list[Job] = [
        ("learned:linear", trainings[0], "in-sample"),
        ("learned:mlp", trainings[1], "cross-fitted"),
        ("features", trainings[1], "in-sample"),
        ("learned:periodic", trainings[0], "in-sample"),  # takes longest, and is begun first
    ]
    alone_of = [spaces.fit(*job) for job in jobs]
    predictions_of = [training.predictions(residuals) for _, training, residuals in jobs]
    said.clear()
    for threads in (1, 2):
        for job, found, alone, predictions in zip(
            jobs, fit_spaces(jobs, threads), alone_of, predictions_of, strict=True
        ):
            name, training, residuals = job
            assert found.name == name
            assert found.to_arrays().keys() == alone.to_arrays().keys()
            for key, value in found.to_arrays().items():
                np.testing.assert_array_equal(value, alone.to_arrays()[key])
            np.testing.assert_array_equal(training.predictions(residuals), predictions)
    steps = ("training the encoder: step", "fitting 4 bases")  # what one thread says of each, one after the other
    said = [each for each in said if not each.startswith(steps)]
    assert said[0] == "training learned:periodic on constant and learned:linear on constant and learned:mlp on linear"
