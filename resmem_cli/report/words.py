"""Numbers and names as a page writes them: as many digits as are read, and never more text than a page can bear."""

from __future__ import annotations

import math
import unicodedata

# What a value from the data may take in a table, and in a picture where it stands on one line.
IN_TABLE, IN_PICTURE = 120, 38
METRICS = {
    "rmse": "root mean squared error, in the units of the target; lower is better",
    "mae": "mean absolute error, in the units of the target; lower is better",
    "r2": "explained share of the variance; higher is better, 1 is perfect",
    "log_loss": "minus the mean logarithm of the true class's probability; lower is better",
    "accuracy": "share of rows whose most probable class is true; higher is better",
    "balanced_accuracy": "mean over the classes of the share that is recognised; higher is better",
    "roc_auc": "probability that a row of a class is ranked before one of another; higher is better",
    "brier": "mean squared error of the probabilities; lower is better",
}
DASH = "\N{EN DASH}"
_NO_EXPONENT, _LEAST_SHARE = 1e15, 5e-4
_SPACE = "\N{NO-BREAK SPACE}"


def number(value: float | None) -> str:
    """Return a number with five significant digits, thousands apart, or a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return DASH
    if 1e5 <= abs(value) < _NO_EXPONENT:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:,.5g}")


def brief(value: float) -> str:
    """Return a signed number with three significant digits."""
    return _minus(f"{value:+,.0f}" if 1e3 <= abs(value) < _NO_EXPONENT else f"{value:+.3g}")


def percent(value: float | None, digits: int = 1) -> str:
    """Return "+39.8 %", or a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return DASH
    return _minus(f"{value:+,.{digits}f}{_SPACE}%") if value else f"0{_SPACE}%"


def share(value: float | None) -> str:
    """Return a share that was measured as "1.6 %", or a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return DASH
    if 0 < value < _LEAST_SHARE:
        return f"under{_SPACE}0.1{_SPACE}%"
    digits = 0 if value in (0, 1) else 1
    return f"{100 * value:.{digits}f}{_SPACE}%"


def level(value: float) -> str:
    """Return a level of intervals, such as 0.9, as "90 %"."""
    return f"{100 * value:g}{_SPACE}%"


def interval(ends: tuple[float, float], digits: int = 1) -> str:
    """Return "+35.3 to +43.7 %"; one end alone where the rows bound only that, and a dash where neither."""
    low, high = (DASH if not math.isfinite(end) else _minus(f"{end:+,.{digits}f}") for end in ends)
    if low == high == DASH:
        return DASH
    if low == DASH:
        return f"up to{_SPACE}{high}{_SPACE}%"
    return f"from{_SPACE}{low}{_SPACE}%" if high == DASH else f"{low}{_SPACE}to {high}{_SPACE}%"


def count(n: int, what: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def listed(names: list[str], most: int = 8) -> str:
    """Return "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(short(name, IN_PICTURE) for name in names[:most]) + more


def short(text: str, most: int = IN_TABLE) -> str:
    """Return a text in at most so many columns, with an ellipsis where it is cut off; controls are escapes."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    width = 0
    for i, character in enumerate(printable):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > most:
            return printable[: max(i - 1, 0)] + "…"
    return printable


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}") if "e" not in text else text
