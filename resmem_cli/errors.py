"""The errors that resmem raises on purpose: what is wrong, and what to do next.

Every room may raise these; only `cli` turns them into exit codes and text. Each carries a `message`
(what, where, which value) and a `hint` (what to do next), kept as `args` so that it survives pickling
to a worker process.
"""

from __future__ import annotations


class ResmemError(Exception):
    """A failure with a cause that the user can act on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(ResmemError):
    """The command's options contradict each other, or the data they are used on."""


class DataError(ResmemError):
    """An input is missing, unreadable, or holds what it should not."""


class ModelError(ResmemError):
    """The model directory is missing, incomplete, stale, damaged, or of another version."""


class OutputError(ResmemError):
    """A result could not be written: the disk is full, or permission is missing."""
