from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.loadtest.measure.latency_histogram import bucket_index
from tailrace.loadtest.measure.time_slices import (
    FIRST_SLICE_NS,
    MAX_SLICES,
    TimeSlice,
    TimeSlices,
)

_CALLS = st.lists(
    st.tuples(
        st.integers(0, 5 * MAX_SLICES * FIRST_SLICE_NS),
        st.integers(-1, 10**10),
        st.booleans(),
    ),
    max_size=40,
)


def _added(calls: list[tuple[int, int, bool]]) -> TimeSlices:
    slices = TimeSlices()
    ended, latencies, failed = np.array(calls, np.int64).reshape(-1, 3).T
    slices.add(ended, latencies, failed)
    slices.add_started(ended)
    return slices


# Calls that were started, that ended, that failed, and latencies by bucket.
_Told = list[tuple[int, int, int, dict[int, int]]]


def _told(slices: TimeSlices) -> _Told:
    return [(each.started, each.ended, each.failed, each.buckets) for each in slices.slices]


def _by_hand(calls: list[tuple[int, int, bool]], length_ns: int) -> _Told:
    slices: _Told = []
    for place in range(max((ended // length_ns for ended, _, _ in calls), default=-1) + 1):
        here = [call for call in calls if call[0] // length_ns == place]
        latencies = np.array([latency for _, latency, _ in here if latency >= 0], np.int64)
        buckets = Counter(bucket_index(latencies).tolist())
        slices.append((len(here), len(here), sum(failed for _, _, failed in here), buckets))
    return slices


@given(_CALLS)
def test_slices_hold_what_calls_came_to(calls: list[tuple[int, int, bool]]) -> None:
    slices = _added(calls)
    assert _told(slices) == _by_hand(calls, slices.length_ns)
    assert len(slices.slices) <= MAX_SLICES


@given(_CALLS, _CALLS)
def test_merging_is_the_same_as_adding_all(
    first: list[tuple[int, int, bool]], second: list[tuple[int, int, bool]]
) -> None:
    merged, other = _added(first), _added(second)
    merged.merge(other)
    assert _told(merged) == _by_hand(first + second, merged.length_ns)
    assert _told(other) == _told(_added(second))


def test_slices_double_their_length_when_there_are_too_many() -> None:
    slices = TimeSlices()
    for place in range(MAX_SLICES):
        slices.add(np.array([place * FIRST_SLICE_NS]), np.array([1]), np.array([0]))
    assert (slices.length_ns, len(slices.slices)) == (FIRST_SLICE_NS, MAX_SLICES)
    slices.add_started(np.array([MAX_SLICES * FIRST_SLICE_NS]))
    assert (slices.length_ns, len(slices.slices)) == (2 * FIRST_SLICE_NS, MAX_SLICES // 2 + 1)
    assert [found.ended for found in slices.slices] == [2] * (MAX_SLICES // 2) + [0]


def test_percentiles_of_a_slice_are_the_ends_of_its_buckets() -> None:
    slices = TimeSlices()
    latencies = np.arange(1, 1001)
    slices.add(np.zeros(1000, np.int64), latencies, np.zeros(1000, np.int64))
    assert slices.slices[0].percentiles([50, 99, 100]) == [500, 990, 1000]
    assert TimeSlice().percentiles([50]) == [0]
