"""What members cost where they are used, against what they gain: the time to predict a row is paid for ever.

Times are rough ones of one core, in microseconds for a row, and not measured while choosing: the same rows and seed
must choose the same on every machine. Those of a search in a graph of some ten thousand cells grow with the number of
neighbours; encoders take what their matrix products do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resmem_cli.model import spaces
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.combination import in_base
from resmem_cli.model.kernel import Settings

# A member, or its further neighbours, must lower the loss by this share for every microsecond. All members together
# take some tens of them, so that no more than half a percent of an error is given up.
_WORTH = 1e-4
_OF_BASE = 5.0  # of a further base
_OF_SEARCH, _OF_NEIGHBOR = 1.0, 0.4
_OF_ENCODER, _OF_REPRESENTATION = 4.0, 1.0


def cost_factor(members: Iterable[tuple[Candidate, Settings]], base_weights: Sequence[float] = ()) -> float:
    """Return what the loss of the mean of members is multiplied by, beside a base of these weights."""
    return 1 + _WORTH * microseconds(members, base_weights)


def cost_factor_of_bases(n_bases: int) -> float:
    """Return what the loss of the mean of so many bases is multiplied by."""
    return 1 + _WORTH * _OF_BASE * n_bases


def microseconds(members: Iterable[tuple[Candidate, Settings]], base_weights: Sequence[float] = ()) -> float:
    """Return the microseconds that members add to the base."""
    bases, total = set(in_base(base_weights)), 0.0
    for candidate, settings in members:
        trains = spaces.kind_of(candidate.space).needs_training
        total += _OF_SEARCH + _OF_NEIGHBOR * settings.n_neighbors + (_OF_ENCODER if trains else _OF_REPRESENTATION)
        if candidate.base not in bases:
            bases.add(candidate.base)
            total += _OF_BASE
    return total
