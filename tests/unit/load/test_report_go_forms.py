"""Numbers and times in Go's forms; the expected texts were printed by Go."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tailrace.loadtest.report import go_forms

WITHIN_A_SECOND = 1_795_367_004_880_491_216


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (200, "200"),
        (985905, "985905"),
        (3680583, "3.680583e+06"),
        (54081944, "5.4081944e+07"),
        (1000000, "1e+06"),
        (3698.091917701775, "3698.091917701775"),
        (0.000209605, "0.000209605"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234e-05"),
        (-2.5e-7, "-2.5e-07"),
        (float("inf"), "+Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_told_as_go_does(value: float, told: str) -> None:
    assert go_forms.number(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0s"),
        (1, "1s"),
        (0.02, "20ms"),
        (1.5, "1.5s"),
        (60, "1m0s"),
        (3723.25, "1h2m3.25s"),
        (0.0000015, "1.5µs"),
        (2e-9, "2ns"),
        (-1, "-1s"),
        (100, "1m40s"),
    ],
)
def test_durations_are_told_as_go_does(seconds: float, told: str) -> None:
    assert go_forms.duration(seconds) == told


@pytest.mark.parametrize(
    ("ns", "told"),
    [
        (0, "0 ns"),
        (9_999, "9999 ns"),
        (10_000, "0.01 ms"),
        (69_600_000, "69.60 ms"),
        (999_990_000, "999.99 ms"),
        (1_000_000_000, "1.00 s"),
        (75_500_000_000, "75.50 s"),
    ],
)
def test_latencies_are_told_as_ghz_does(ns: int, told: str) -> None:
    assert go_forms.latency(ns) == told


def test_instants_keep_their_nanoseconds_and_lose_noughts() -> None:
    assert go_forms.rfc3339_nano(WITHIN_A_SECOND, UTC) == "2026-11-22T17:03:24.880491216Z"
    assert go_forms.rfc3339_nano(1_795_367_004_880_000_000, None) == "2026-11-22T17:03:24.88Z"
    assert go_forms.rfc3339_nano(1_795_367_004_000_000_000, None) == "2026-11-22T17:03:24Z"


def test_instants_have_the_zone_they_are_told_in() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert go_forms.rfc3339_nano(WITHIN_A_SECOND, east) == "2026-11-22T22:33:24.880491216+05:30"
    instant = datetime(2026, 11, 22, 17, 3, 24, 999_999, tzinfo=UTC)
    assert go_forms.rfc3339(instant) == "2026-11-22T17:03:24Z"
    assert go_forms.rfc3339(instant.astimezone(east)) == "2026-11-22T22:33:24+05:30"


def test_instants_are_counted_from_1970() -> None:
    instant = datetime(2026, 11, 22, 17, 3, 24, 880_491, tzinfo=UTC)
    assert go_forms.unix_ns(instant) == 1_795_367_004_880_491_000
