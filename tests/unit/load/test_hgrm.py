from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.loadtest.measure.hgrm import write_hgrm
from tailrace.loadtest.measure.latency_histogram import MAX_NS, LatencyHistogram

_LATENCIES = st.lists(
    st.integers(0, 41).flatmap(lambda bits: st.integers(1, min(2 << bits, MAX_NS))),
    min_size=1,
    max_size=300,
)
_FOOTER = re.compile(
    r"#\[Mean    = +([\d.]+), StdDeviation   = +([\d.]+)\]\n"
    r"#\[Max     = +([\d.]+), Total count    = +(\d+)\]\n"
    r"#\[Buckets = +(\d+), SubBuckets     = +(\d+)\]\n"
)


def _written(values: list[int]) -> tuple[str, list[str]]:
    """Returns the rows, with the header, and what stands below them."""
    histogram = LatencyHistogram()
    histogram.record(np.array(values, np.int64))
    file = io.StringIO()
    write_hgrm(histogram, file)
    rows, _, footer = file.getvalue().partition("#")
    found = _FOOTER.fullmatch(f"#{footer}")
    assert found is not None
    return rows, list(found.groups())


@settings(deadline=None, max_examples=10)
@given(_LATENCIES)
def test_rows_and_footer_agree_with_hdr_histogram(values: list[int]) -> None:
    theirs = HdrHistogram(1, MAX_NS, 3)
    for value in values:
        theirs.record_value(value)
    rows, footer = _written(values)
    for row in rows.splitlines()[2::3]:
        told, share, count = row.split()[:3]
        at_count = theirs.get_value_at_percentile(100 * int(count) / len(values))
        assert told == f"{at_count / 1e6:.3f}"
        assert int(count) >= float(share) * len(values) - 1e-6
    assert footer[3:] == [
        str(len(values)),
        str(theirs.bucket_count),
        str(theirs.sub_bucket_count),
    ]
    assert footer[2] == f"{theirs.get_max_value() / 1e6:.3f}"
    assert float(footer[0]) == pytest.approx(theirs.get_mean_value() / 1e6, rel=0.001, abs=0.001)
    assert float(footer[1]) == pytest.approx(theirs.get_stddev() / 1e6, rel=0.01, abs=0.001)


def test_layout_and_steps_are_those_of_hdr_histogram_in_java() -> None:
    rows, _ = _written([number * 1_000_000 for number in range(1, 21)])
    assert rows.splitlines() == [
        "       Value     Percentile TotalCount 1/(1-Percentile)",
        "",
        "       1.000 0.000000000000          1           1.00",
        "       2.001 0.100000000000          2           1.11",
        "       4.002 0.200000000000          4           1.25",
        "       6.001 0.300000000000          6           1.43",
        "       8.004 0.400000000000          8           1.67",
        "      10.002 0.500000000000         10           2.00",
        "      11.002 0.550000000000         11           2.22",
        "      12.001 0.600000000000         12           2.50",
        "      13.001 0.650000000000         13           2.86",
        "      14.000 0.700000000000         14           3.33",
        "      15.008 0.750000000000         15           4.00",
        "      16.007 0.775000000000         16           4.44",
        "      16.007 0.800000000000         16           5.00",
        "      17.007 0.825000000000         17           5.71",
        "      17.007 0.850000000000         17           6.67",
        "      18.006 0.875000000000         18           8.00",
        "      18.006 0.887500000000         18           8.89",
        "      18.006 0.900000000000         18          10.00",
        "      19.005 0.912500000000         19          11.43",
        "      19.005 0.925000000000         19          13.33",
        "      19.005 0.937500000000         19          16.00",
        "      19.005 0.943750000000         19          17.78",
        "      19.005 0.950000000000         19          20.00",
        "      20.005 0.956250000000         20          22.86",
        "      20.005 1.000000000000         20",
    ]


def test_mean_and_deviation_are_told_in_milliseconds() -> None:
    _, footer = _written([10_000_000] * 3 + [30_000_000])
    assert float(footer[0]) == 15.0
    assert float(footer[1]) == pytest.approx(8.66, rel=0.001)


def test_rows_read_back_give_the_percentiles() -> None:
    random = np.random.default_rng(1)
    values = (random.lognormal(1, 1, 50_000) * 1e6).astype(np.int64)
    rows, _ = _written(values.tolist())
    table = np.array([row.split()[:3] for row in rows.splitlines()[2:]], float)
    assert (np.diff(table, axis=0) >= 0).all()
    assert table[-1, 1:].tolist() == [1.0, 50_000]
    for value_ms, share, count in table:
        assert value_ms == pytest.approx(
            np.sort(values)[int(count) - 1] / 1e6, rel=0.002, abs=0.002
        )
        assert count >= share * 50_000 - 1e-6


def test_nothing_recorded_has_no_rows() -> None:
    rows, footer = _written([])
    assert rows.splitlines()[2:] == []
    assert (float(footer[0]), float(footer[1]), float(footer[2]), footer[3]) == (0, 0, 0, "0")
