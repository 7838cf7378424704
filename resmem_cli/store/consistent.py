"""Reading a directory that a writer may change meanwhile, or whose content may be damaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from resmem_cli.data.places import Place
from resmem_cli.errors import ModelError
from resmem_cli.store import fetching

_RETRIES = 5

Loaded = TypeVar("Loaded")


def steadily(model: Place, read: Callable[[Path], Loaded], needed: int = fetching.PRESENT) -> Loaded:
    """Read again if a part is gone: a writer has replaced the generation between its manifest and its parts.

    Args:
        model: a directory, or one in an object store, as much of which as is `needed` is then fetched.
        read: reads the directory that it is given.
        needed: as of `fetching.fetched`.
    """
    for attempt in range(_RETRIES):
        time.sleep(0.1 * attempt)
        try:
            with guarded(model), _at_hand(model, needed) as directory:
                return read(directory)
        except FileNotFoundError as error:
            if attempt == _RETRIES - 1:
                raise ModelError(
                    f"the model directory '{model}' lacks {error.filename}", "fit the model again"
                ) from error
    raise AssertionError("unreachable")


def _at_hand(model: Place, needed: int) -> AbstractContextManager[Path]:
    return nullcontext(model) if isinstance(model, Path) else fetching.fetched(model, needed)


@contextmanager
def guarded(directory: Place) -> Iterator[None]:
    """Turn what damaged content makes of whoever reads it into an error that says so; a missing file passes.

    Raises:
        ModelError: the content is not what a model directory holds, or may not be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelError(
            f"the model directory '{directory}' cannot be read ({error.strerror})", "check its permissions"
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(
            f"the model directory '{directory}' is damaged ({type(error).__name__}: {error})", "fit the model again"
        ) from error
