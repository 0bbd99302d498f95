from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.loadtest.measure.latency_histogram import (
    MAX_NS,
    LatencyHistogram,
    bucket_end,
    bucket_index,
    bucket_start,
)

# As many small values as large ones: exponents are drawn first.
_VALUES = st.integers(0, 41).flatmap(lambda bits: st.integers(1, min(2 << bits, MAX_NS)))
_LATENCIES = st.lists(_VALUES, min_size=1, max_size=200)
_PERCENTS = [0, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100]


def _histogram(values: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.record(np.array(values, np.int64))
    return histogram


def _state(histogram: LatencyHistogram) -> tuple[list[int], int, int, int, int]:
    return (
        histogram.counts.tolist(),
        histogram.count,
        histogram.total_ns,
        histogram.minimum_ns,
        histogram.maximum_ns,
    )


@settings(deadline=None, max_examples=25)
@given(_LATENCIES)
def test_percentiles_are_those_of_hdr_histogram(values: list[int]) -> None:
    other = HdrHistogram(1, MAX_NS, 3)
    for value in values:
        other.record_value(value)
    histogram = _histogram(values)
    for percent in (1, 50, 90, 99, 100):
        # Theirs takes the nearest rank, ours, as HdrHistogram in Java, the next.
        rank = -(-percent * len(values) // 100)
        theirs = int(other.get_value_at_percentile(100 * rank / len(values)))
        # Theirs may lie beyond all that was recorded, by the width of a bucket.
        assert histogram.percentile(percent) == min(theirs, max(values))


@given(_LATENCIES)
def test_percentiles_are_those_of_the_values_to_three_digits(values: list[int]) -> None:
    histogram = _histogram(values)
    for percent, found in zip(_PERCENTS, histogram.percentiles(_PERCENTS), strict=True):
        rank = max(1, -(-round(percent * 100) * len(values) // 10_000))
        exact = sorted(values)[rank - 1]
        assert exact <= found <= exact * 1.001 + 1


@given(_LATENCIES)
def test_sums_are_exact(values: list[int]) -> None:
    histogram = _histogram(values)
    assert (histogram.count, histogram.total_ns) == (len(values), sum(values))
    assert (histogram.minimum_ns, histogram.maximum_ns) == (min(values), max(values))
    assert histogram.mean_ns == sum(values) / len(values)


@given(_LATENCIES, _LATENCIES)
def test_merging_is_the_same_as_recording_all(first: list[int], second: list[int]) -> None:
    merged = _histogram(first)
    merged.merge(_histogram(second))
    assert _state(merged) == _state(_histogram(first + second))


@given(st.lists(_VALUES, max_size=50))
def test_copies_and_pickles_hold_the_same(values: list[int]) -> None:
    histogram = _histogram(values)
    for other in (deepcopy(histogram), pickle.loads(pickle.dumps(histogram))):
        assert _state(other) == _state(histogram)
        other.record(np.array([5]))
    assert histogram.count == len(values)


def test_a_pickle_is_small() -> None:
    assert len(pickle.dumps(_histogram([1_000_000]))) < 400


@given(_VALUES)
def test_a_bucket_holds_what_it_says(value: int) -> None:
    (place,) = bucket_index(np.array([value]))
    assert bucket_start(int(place)) <= value <= bucket_end(int(place))
    assert (bucket_end(int(place)) - bucket_start(int(place))) * 1000 <= value


@given(_LATENCIES)
def test_buckets_alone_give_the_same_percentiles(values: list[int]) -> None:
    histogram, other = _histogram(values), LatencyHistogram()
    places, counts = histogram.filled()
    other.record_buckets(dict(zip(places.tolist(), counts.tolist(), strict=True)))
    assert other.counts.tolist() == histogram.counts.tolist()
    assert other.count == histogram.count
    assert other.maximum_ns == bucket_end(int(places[-1]))
    assert other.mean_ns == pytest.approx(histogram.mean_ns, rel=0.001, abs=1)


def test_values_out_of_range_count_as_the_nearest() -> None:
    histogram = _histogram([-5, 0, 2 * MAX_NS])
    assert (histogram.minimum_ns, histogram.maximum_ns, histogram.count) == (1, MAX_NS, 3)


def test_nothing_recorded_is_nought() -> None:
    histogram = _histogram([])
    histogram.record_buckets({})
    assert _state(histogram) == _state(LatencyHistogram())
    assert (histogram.mean_ns, histogram.percentile(99)) == (0.0, 0)
