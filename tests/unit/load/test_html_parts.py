"""What the HTML report is made of: elements, figures in words, axes."""

from __future__ import annotations

import pytest

from tailrace.loadtest.report.html_axis import Scale, value_scale
from tailrace.loadtest.report.html_element import element, joined, number
from tailrace.loadtest.report.html_text import duration, rate, share, tick_duration


def test_text_and_attributes_are_escaped_and_elements_are_not() -> None:
    inner = element("b", "1 < 2")
    outer = element("p", inner, " & ", ["x", inner], title='"><script>', hidden=True, lang=None)

    assert outer == (
        '<p title="&quot;&gt;&lt;script&gt;" hidden><b>1 &lt; 2</b> &amp; x<b>1 &lt; 2</b></p>'
    )


def test_an_element_made_text_again_is_escaped() -> None:
    # Whoever changes it makes text of it.
    assert joined(element("b", "x").upper()) == "&lt;B&gt;X&lt;/B&gt;"


@pytest.mark.parametrize(
    ("value", "told"), [(1.0, "1"), (2.5, "2.5"), (-0.001, "0"), (100.0, "100"), (1 / 3, "0.33")]
)
def test_numbers_are_short(value: float, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize(
    ("ns", "told"),
    [
        (0, "0"),
        (1, "1 ns"),
        (999, "999 ns"),
        (1000, "1.00 \N{MICRO SIGN}s"),
        (999_400, "999 \N{MICRO SIGN}s"),
        (999_600, "1.00 ms"),
        (7_714_000, "7.71 ms"),
        (99_960_000, "100 ms"),
        (1_000_000_000, "1.00 s"),
        (119_000_000_000, "119 s"),
        (3_600_000_000_000, "60.0 min"),
        (7_200_000_000_000, "2.00 h"),
    ],
)
def test_durations_have_three_digits_and_a_unit(ns: int, told: str) -> None:
    assert duration(ns) == told


def test_ticks_are_told_without_noughts() -> None:
    ticks = [tick_duration(ns) for ns in (0, 500, 2e6, 2.5e8, 1e9)]
    assert ticks == ["0", "500 ns", "2 ms", "250 ms", "1 s"]


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [
        (0, 0, "\N{EN DASH}"),
        (0, 10, "0 %"),
        (1, 1_000_000, "< 0.01 %"),
        (1, 3, "33.33 %"),
        (999_999, 1_000_000, "> 99.99 %"),
        (10, 10, "100 %"),
    ],
)
def test_shares_are_all_or_nothing_only_where_they_are(part: int, whole: int, told: str) -> None:
    assert share(part, whole) == told


def test_rates_are_told_in_as_many_digits_as_help() -> None:
    assert [rate(value) for value in (0, 0.25, 99.8, 12_345.6)] == [
        "0/s",
        "0.25/s",
        "99.8/s",
        "12,346/s",
    ]


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_goes_from_end_to_end(log: bool) -> None:
    scale = Scale(1.0, 1000.0, 50.0, 850.0, log=log)

    assert (scale.place(1.0), scale.place(1000.0)) == (50.0, 850.0)
    assert (scale.place(0.001), scale.place(1e9)) == (50.0, 850.0)
    assert scale.place(scale.value(0.25)) == pytest.approx(250.0)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.0, 7.3, False), (0.0, 1e-7, False), (3e3, 4e9, True), (1, 3, True)]
)
def test_ticks_lie_on_the_axis_in_order_and_are_few(low: float, high: float, log: bool) -> None:
    scale = Scale(low, high, 0.0, 560.0, log=log)
    ticks = scale.ticks()

    assert ticks == sorted(set(ticks))
    assert 1 <= len(ticks) <= 11
    assert all(low <= tick <= high * 1.000001 for tick in ticks)


def test_there_are_no_ticks_between_whole_things() -> None:
    assert Scale(0.0, 2.2, 200.0, 0.0, whole=True).ticks() == [0, 1, 2]


@pytest.mark.parametrize(
    ("least", "most", "log"), [(5.0, 5.0, False), (1, 39, False), (1, 41, True)]
)
def test_values_of_different_orders_get_a_logarithmic_axis(
    least: float, most: float, log: bool
) -> None:
    scale = value_scale(least, most, 0.0, 100.0)

    assert scale.log is log
    assert scale.low < least <= most < scale.high
