"""The geometry of pictures: two kinds, which the template draws as SVG in units of a phone's width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from resmem_cli.report import words

WIDTH = 360.0  # on a phone about a pixel each
_ROW, _BELOW_LABEL, _AXIS = 40.0, 24.0, 30.0
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 52.0, 14.0, 44.0, 44.0, 300.0
_EDGE = 8.0  # between the axis and the border of a picture
_N_TICKS = 4
_FARTHEST = 1.0  # whiskers are cut where they are beyond the points by more than the points' range


@dataclass(frozen=True)
class Bar:
    """A value with an interval, whose ends may not be known, and what it is called."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    text: str = ""

    @property
    def sign(self) -> str:
        """Whether the interval is above 0, below it, or neither is certain."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "open"


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class PlacedBar:
    """A bar on the page: the baseline of its label, the height of its line, and where that begins, points and ends."""

    bar: Bar
    label_y: float
    y: float
    x: float
    start: float
    stop: float


@dataclass(frozen=True)
class Whiskers:
    """Values below each other, each with its interval."""

    kind: ClassVar[str] = "whiskers"
    height: float
    bottom: float
    rows: tuple[PlacedBar, ...]
    ticks: tuple[Tick, ...]
    lines: tuple[Tick, ...]
    unit: str

    @classmethod
    def of(cls, bars: Sequence[Bar], unit: str, lines: Sequence[tuple[float, str]] = ((0.0, ""),)) -> Whiskers:
        """Return where bars lie; `lines` are values that all are compared with, and what they are called."""
        points = [each.value for each in bars if math.isfinite(each.value)] + [value for value, _ in lines]
        reach = _FARTHEST * (max(points) - min(points)) or 1.0
        ends = [end for each in bars for end in (each.low, each.high) if math.isfinite(end)]
        low = min([*points, *(max(end, min(points) - reach) for end in ends)])
        high = max([*points, *(min(end, max(points) + reach) for end in ends)])
        scale = _Scale.of(low, high, _EDGE, WIDTH - _EDGE)
        rows = []
        for i, bar in enumerate(bars):
            value = bar.value if math.isfinite(bar.value) else math.nan
            start, stop = (scale.inside(end if math.isfinite(end) else value) for end in (bar.low, bar.high))
            rows.append(PlacedBar(bar, i * _ROW + 13, i * _ROW + _BELOW_LABEL, scale.inside(value), start, stop))
        bottom = len(bars) * _ROW
        named = tuple(Tick(scale.inside(value), text) for value, text in lines)
        return cls(bottom + _AXIS, bottom, tuple(rows), scale.ticks(), named, unit)


@dataclass(frozen=True)
class Series:
    """Points of a curve, as (x, y): numbers, or where they lie on the page."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The line through them, as SVG writes it."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Curves:
    """Curves over one axis, with the diagonal that they should be on."""

    kind: ClassVar[str] = "curves"
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    diagonal: str
    x_label: str
    y_label: str
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = _HEIGHT - _BOTTOM
    height: float = _HEIGHT

    @classmethod
    def of(cls, series: Sequence[Series], x_label: str, y_label: str) -> Curves:
        """Return where curves of the same unit in both directions lie."""
        values = [value for each in series for point in each.points for value in point]
        low, high = min(values), max(values)
        x = _Scale.of(low, high, _LEFT, WIDTH - _RIGHT)
        y = _Scale.of(low, high, _HEIGHT - _BOTTOM, _TOP)
        placed = tuple(Series(each.name, tuple((x.at(a), y.at(b)) for a, b in each.points)) for each in series)
        ends = Series("", ((x.at(x.low), y.at(y.low)), (x.at(x.high), y.at(y.high))))
        return cls(placed, x.ticks(), y.ticks(), ends.path, x_label, y_label)


Chart = Whiskers | Curves


@dataclass(frozen=True)
class _Scale:
    """A linear map from values to places."""

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def of(cls, low: float, high: float, start: float, stop: float) -> _Scale:
        """Return the scale of values, with room on both sides where they are all the same."""
        if not high > low:
            half = abs(low) / 2 or 0.5
            low, high = low - half, high + half
        return cls(low, high, start, stop)

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start), 1)

    def inside(self, value: float) -> float:
        """Return the place of a value, of those beyond the ends that of the end; NaN of what is not known."""
        return math.nan if math.isnan(value) else self.at(min(max(value, self.low), self.high))

    def ticks(self) -> tuple[Tick, ...]:
        step = _nice((self.high - self.low) / _N_TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        # Through text, so that 3 times 0.1 is 0.3.
        values = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
        return tuple(Tick(self.at(value), words.number(value)) for value in values)


def _nice(step: float) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= step * (1 - 1e-9))
