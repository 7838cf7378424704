"""The settings that are tried."""

from __future__ import annotations

from dataclasses import replace

from resmem_cli.model.choosing.grid import grid
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.kernel import Settings
from resmem_cli.model.spaces.learned import Learned
from tests.model.choosing.grids import SMALL
from tests.model.examples import REGRESSION, make_rows, rows_of


def test_a_grid_is_every_combination_once():
    settings = SMALL.settings("features")
    assert len(settings) == len(set(settings)) == 3 * 2 * 2 * 2
    assert Settings(16, 0.1, True, 0.5, 2.0) in settings


def test_where_an_encoder_was_trained_distances_in_its_own_units_are_tried_as_well(monkeypatch):
    monkeypatch.setattr(Learned, "own_bandwidths", (0.7,))
    own = SMALL.settings("learned:linear")
    assert len(own) == len(set(own)) == 3 * 3 * 2 * 2
    assert set(own) > set(SMALL.settings("model")) == set(SMALL.settings("features"))
    assert {(s.bandwidth, s.is_relative) for s in own} == {(0.1, True), (0.5, True), (0.7, False)}
    fixed = replace(SMALL, tries_own_bandwidths=False)
    assert fixed.settings("learned:linear") == SMALL.settings("model") == fixed.settings("model")


def test_without_folds_no_number_of_neighbours_is_left_out():
    X, y, problem = make_rows(60, REGRESSION)
    rows = rows_of(X, y)
    assert grid(rows, problem, MemoryOptions(n_folds=0)).neighbors == (4, 8, 16, 32)
    assert grid(rows, problem, MemoryOptions(n_folds=5)).neighbors == (4, 8, 16, 32)
    assert grid(rows, problem, MemoryOptions(n_folds=2)).neighbors == (4, 8, 16)
