"""The errors that resmem raises on purpose: what is wrong, and what to do next.

Every room may raise these; only `cli` turns them into exit codes and text. Each carries a `message`
(what, where, which value) and a `hint` (what to do next), kept as `args` so that it survives pickling
to a worker process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


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


class EngineError(ResmemError):
    """The machines that were to compute cannot be reached, do not fit together, or have gone."""


class ThresholdError(ResmemError):
    """All went well, but what was measured does not reach what was asked for."""


class PartialError(ResmemError):
    """Some of several things could not be done; the others are."""


_MOST_NAMED = 3
_MOST_COMPARED = 2_000  # names: comparing more would take longer than to read the sentence


def did_you_mean(
    wrong: Sequence[str], known: Iterable[str], hint: str, aliases: Mapping[str, str] | None = None
) -> str:
    """Return a hint that begins with what was probably meant by names that are not there, if anything is close.

    Args:
        wrong: the names as they were written.
        known: those that there are.
        hint: what else to say.
        aliases: other words for some of them, in lower case.
    """
    there = list(known)
    pairs = [(name, _closest(name, there, aliases or {})) for name in wrong[:_MOST_NAMED]]
    close = [(name, meant) for name, meant in pairs if meant is not None]
    if not close:
        return hint
    told = [_told(*pair) + (f" for '{pair[0]}'" if len(wrong) > 1 else "") for pair in close]
    return f"did you mean {', '.join(told)}? {hint[:1].upper()}{hint[1:]}"


def _closest(name: str, known: Sequence[str], aliases: Mapping[str, str]) -> str | None:
    """Return the name that is nearest: the same but for case and spaces around it, an alias, or one like it."""
    folded = name.strip().casefold()
    same = [each for each in known if each.strip().casefold() == folded]
    if same:
        return same[0]
    if aliases.get(folded) in known:
        return aliases[folded]
    import difflib

    by_fold = {each.strip().casefold(): each for each in reversed(known[:_MOST_COMPARED])}
    found = difflib.get_close_matches(folded, by_fold, n=1)
    return by_fold[found[0]] if found else None


def _told(name: str, meant: str) -> str:
    if name.strip() == meant.strip():
        return f"'{meant}' (which differs in the spaces around it)"
    if name.casefold() == meant.casefold():
        return f"'{meant}' (which differs in case only)"
    return f"'{meant}'"
