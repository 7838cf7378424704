"""Settings that one memory has chosen, for another to use as they are."""

from __future__ import annotations

from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.kernel import Settings


def same(settings: Settings, space: str, threads: int) -> MemoryOptions:
    """Return the options that use these settings in a space again, with nothing left to choose."""
    return MemoryOptions(
        n_neighbors=settings.n_neighbors,
        bandwidth=settings.bandwidth,
        is_relative=settings.is_relative,
        shrinkage=settings.shrinkage,
        temperature=settings.temperature,
        space=space,
        n_folds=0,
        threads=threads,
    )
