from __future__ import annotations

import pytest

from tailrace.loadtest.options.quantities import parse_duration, parse_share, parse_size


# As `time.ParseDuration` of Go 1.22 has them.
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("10s", 10),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("-2m", -120),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("17ns", 17e-9),
        ("1h2m3.004s", 3723.004),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.2.3s", "10 s", "10S", "1d", "--1s", ".s", "1e3s", "1s?", "٣s"]
)
def test_what_go_takes_for_no_duration_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time"):
        parse_duration(text)


# As ghz's library has them (dustin/go-humanize, ParseBytes).
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("42", 42),
        ("42B", 42),
        ("42b", 42),
        ("4k", 4000),
        ("4KB", 4000),
        ("4Ki", 4096),
        ("4kib", 4096),
        ("1024mb", 1_024_000_000),
        ("2000mib", 2000 << 20),
        ("1.5 GiB", 3 << 29),
        ("1,024", 1024),
        ("2e", 2 * 10**18),
    ],
)
def test_sizes_are_ghzs(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1024nb", "4bb", "4ib", "4i", "-4", "1.2.3", "4kk"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), (" 12.5 % ", 0.125)])
def test_shares_are_percentages_or_fractions(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "-1%", "five", "inf", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no share"):
        parse_share(text)
