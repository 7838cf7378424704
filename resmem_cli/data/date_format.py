"""The order in which people write a date: dd.mm.yyyy, mm/dd/yyyy, yyyy/mm/dd."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBERS = {"d": "[0-9]{1,2}", "m": "[0-9]{1,2}", "y": "[0-9]{4}", "s": "[0-9]{2}"}
_WORDS = {"dd": "d", "d": "d", "%d": "d", "mm": "m", "m": "m", "%m": "m", "yyyy": "y", "%y": "s", "yy": "s"}
_FORMAT = re.compile(r"(%?[a-z]+)([./-])(%?[a-z]+)\2(%?[a-z]+)")
# Of a time that may follow a date.
TIME = r"(?P<time>[T ] ?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"


@dataclass(frozen=True)
class DateFormat:
    """An order of day (d), month (m) and year (y, of two digits s), such as "dmy", and what is between them."""

    order: str
    separator: str

    def __str__(self) -> str:
        return self.separator.join({"d": "dd", "m": "mm", "y": "yyyy", "s": "yy"}[each] for each in self.order)

    @property
    def pattern(self) -> str:
        """Of a date in this format, with or without a time; its groups are d, m, y and time."""
        parts = [f"(?P<{'y' if each == 's' else each}>{_NUMBERS[each]})" for each in self.order]
        return "^" + re.escape(self.separator).join(parts) + TIME + "$"


def parsed(text: str) -> DateFormat:
    """Return the format that a text names: "dd.mm.yyyy" or "%d.%m.%Y".

    Raises:
        ValueError: it names none.
    """
    found = _FORMAT.fullmatch(text.strip().replace("%Y", "yyyy").lower())
    order = "".join(_WORDS.get(word, "?") for word in found.group(1, 3, 4)) if found else ""
    if found is None or sorted(order.replace("s", "y")) != ["d", "m", "y"]:
        raise ValueError(f"{text!r} is no format of dates")
    return DateFormat(order, found[2])
