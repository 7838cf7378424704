"""What a worker process has loaded stays for all calls that need the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

from resmem_cli.data.places import Place
from resmem_cli.errors import EngineError

Loaded = TypeVar("Loaded")


class LoadedOnce(Generic[Loaded]):
    """Holds one thing, by what it was loaded from: two would take twice the memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[Any, Loaded] | None = None

    def get(self, key: Any, load: Callable[[], Loaded]) -> Loaded:
        """Return what is held by a key; if it is another one, load it."""
        with self._lock:
            if self._held is None or self._held[0] != key:
                self._held = None
                self._held = key, load()
            return self._held[1]


_lock = threading.Lock()


def one_at_a_time(*, is_needed: bool) -> AbstractContextManager[Any]:
    """Hold other threads of this process back, if a base gives wrong numbers in several at once."""
    return _lock if is_needed else nullcontext()


def refuse_other_model(directory: Place, found: str, expected: str) -> None:
    """Refuse a model that is another one than the command was given, though its directory has the same name.

    Raises:
        EngineError: it is.
    """
    if found != expected:
        raise EngineError(
            f"a worker finds another model in '{directory}' than this command does",
            "let no other command change it meanwhile, and let all machines see the same directory",
        )
