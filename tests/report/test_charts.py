"""Where things lie in pictures, and how numbers and names are written."""

from __future__ import annotations

import math

import pytest

from resmem_cli.report import words
from resmem_cli.report.charts import WIDTH, Bar, Curves, Series, Whiskers


class TestWhiskers:
    def test_everything_lies_inside(self) -> None:
        drawn = Whiskers.of([Bar("a", 3, 1, 5), Bar("b", -2, -900, 40), Bar("c", math.nan)], "percent")
        for row in drawn.rows[:2]:
            assert 0 <= row.start <= row.x <= row.stop <= WIDTH
        assert math.isnan(drawn.rows[2].x)
        assert all(0 <= tick.at <= WIDTH for tick in drawn.ticks)

    def test_equal_values_are_to_scale(self) -> None:
        drawn = Whiskers.of([Bar("a", 0.0, 0.0, 0.0)], "percent")
        assert drawn.rows[0].x == WIDTH / 2

    @pytest.mark.parametrize(
        ("low", "high", "sign"), [(1, 2, "better"), (-2, -1, "worse"), (-1, 1, "open"), (math.nan, math.nan, "open")]
    )
    def test_what_is_certain(self, low: float, high: float, sign: str) -> None:
        assert Bar("a", 0.5, low, high).sign == sign

    def test_ticks_are_round(self) -> None:
        drawn = Whiskers.of([Bar("a", 0.3), Bar("b", 1.1)], "percent")
        assert [tick.text for tick in drawn.ticks] == ["0", "0.5", "1"]


def test_a_curve_of_one_point_is_drawn() -> None:
    drawn = Curves.of([Series("base", ((5.0, 5.0),))], "x", "y")
    ((x, y),) = drawn.series[0].points
    assert drawn.left < x < drawn.right
    assert drawn.top < y < drawn.bottom


class TestWords:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1117.72, "1,117.7"),
            (-0.0123456, "−0.012346"),  # noqa: RUF001
            (1234567.8, "1,234,568"),
            (1e20, "1e+20"),
            (0, "0"),
            (math.nan, "–"),  # noqa: RUF001
            (None, "–"),  # noqa: RUF001
            (math.inf, "–"),  # noqa: RUF001
        ],
    )
    def test_numbers(self, value: float | None, text: str) -> None:
        assert words.number(value) == text

    @pytest.mark.parametrize(
        ("ends", "text"),
        [
            ((1.234, 5.678), "+1.2 to +5.7 %"),
            ((-1.0, math.nan), "from −1.0 %"),  # noqa: RUF001
            ((math.nan, 2.0), "up to +2.0 %"),
            ((math.nan, math.nan), "–"),  # noqa: RUF001
        ],
    )
    def test_intervals(self, ends: tuple[float, float], text: str) -> None:
        assert words.interval(ends).replace("\N{NO-BREAK SPACE}", " ") == text

    @pytest.mark.parametrize(("value", "text"), [(0, "0 %"), (1e-5, "under 0.1 %"), (0.016, "1.6 %"), (1, "100 %")])
    def test_shares(self, value: float, text: str) -> None:
        assert words.share(value).replace("\N{NO-BREAK SPACE}", " ") == text

    def test_long_and_odd_texts(self) -> None:
        assert words.short("a" * 1_000, 10) == "a" * 9 + "…"
        assert words.short("a" * 10, 10) == "a" * 10
        assert words.short("日本語のとても長い名前", 10) == "日本語の…"
        assert words.short("a\x1b\u202eb") == "a\\x1b\\u202eb"
        assert len(words.short("\U0001f600" * 10**6)) <= words.IN_TABLE
