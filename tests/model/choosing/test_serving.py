"""What members cost where they are used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resmem_cli.model.choosing import serving
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.kernel import Settings

FEATURES, LEARNED = Candidate(0, "features"), Candidate(0, "learned:mlp")
SETTINGS = Settings(8, 0.4)


def test_further_neighbors_an_encoder_and_a_further_base_cost_more():
    least = serving.microseconds([(FEATURES, SETTINGS)])
    assert 0 < least < serving.microseconds([(FEATURES, replace(SETTINGS, n_neighbors=9))])
    assert least < serving.microseconds([(LEARNED, SETTINGS)])
    assert least < serving.microseconds([(FEATURES._replace(base=1), SETTINGS)])


def test_members_add_up_and_a_further_base_is_asked_once():
    other = FEATURES._replace(base=1)
    alone, further = (serving.microseconds([(each, SETTINGS)]) for each in (FEATURES, other))
    both = serving.microseconds([(FEATURES, SETTINGS), (other, SETTINGS), (other, SETTINGS)])
    assert both == pytest.approx(alone + further + alone)
    assert serving.microseconds([]) == 0
