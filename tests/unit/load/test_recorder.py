from __future__ import annotations

import contextlib
import pickle
import tempfile
import time
from collections.abc import Iterator
from typing import IO

import pytest

from tailrace.loadtest.measure.details import Details, DetailsPart
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.measure.tally import MAX_ERROR_KINDS, OTHER_ERRORS, Tally
from tailrace.loadtest.wire.call import Call

_START_NS = 1_000_000_000_000
_MS = 1_000_000


def _call(
    number: int,
    *,
    due_ms: int = 0,
    sent_ms: int = 0,
    ended_ms: int = 10,
    status: int = 0,
    message: str = "",
    responses: int = 1,
) -> Call:
    call = Call(number, 0, _START_NS + due_ms * _MS)
    call.sent_ns = _START_NS + sent_ms * _MS
    call.ended_ns = _START_NS + ended_ms * _MS
    call.status, call.message, call.responses = status, message, responses
    return call


def _recorder(
    *, count_errors: bool = False, skip_first: int = 0, details: IO[bytes] | None = None
) -> Recorder:
    return Recorder(_START_NS, count_errors=count_errors, skip_first=skip_first, details=details)


def test_latency_counts_from_the_due_instant_and_from_the_sent_one() -> None:
    recorder = _recorder()
    recorder.ended(_call(0, due_ms=0, sent_ms=30, ended_ms=40), lag=False)
    tally = recorder.fold()
    assert tally.corrected.maximum_ns == 40 * _MS
    assert tally.uncorrected.maximum_ns == 10 * _MS
    assert tally.lag.count == 0
    assert (tally.first_ns, tally.last_ns) == (_START_NS, _START_NS + 40 * _MS)
    assert (tally.ended, tally.responses, tally.failed) == (1, 1, 0)


def test_lag_counts_where_the_generator_is_the_only_reason() -> None:
    recorder = _recorder()
    recorder.ended(_call(0, due_ms=0, sent_ms=3), lag=True)
    recorder.ended(_call(1, due_ms=0, sent_ms=5), lag=False)
    tally = recorder.fold()
    assert (tally.lag.count, tally.lag.maximum_ns) == (1, 3 * _MS)


def test_a_failed_call_has_a_latency_only_with_count_errors() -> None:
    for count_errors in (False, True):
        recorder = _recorder(count_errors=count_errors)
        failed = _call(0, status=14, message="refused", responses=0)
        recorder.ended(failed, lag=False)
        tally = recorder.fold()
        assert tally.corrected.count == tally.uncorrected.count == int(count_errors)
        assert tally.statuses == {"Unavailable": 1}
        assert tally.errors == {"rpc error: code = Unavailable desc = refused": 1}
        assert tally.failed == 1
        (found,) = tally.slices.slices
        assert (found.ended, found.failed) == (1, 1)
        assert sum(found.buckets.values()) == int(count_errors)


def test_a_call_that_was_never_sent_is_late_by_nothing() -> None:
    recorder = _recorder()
    call = _call(0, due_ms=1, status=14, responses=0)
    call.sent_ns = 0
    recorder.ended(call, lag=True)
    assert recorder.fold().lag.maximum_ns == 0


def test_streams_count_each_message() -> None:
    recorder = _recorder()
    for number, responses in enumerate((1, 0, 7, 1)):
        recorder.ended(_call(number, responses=responses), lag=False)
    tally = recorder.fold()
    assert (tally.responses, tally.ended, tally.statuses) == (9, 4, {"OK": 4})


def test_skipped_calls_count_as_skipped_and_as_started_only() -> None:
    recorder = _recorder(skip_first=2)
    for number in (1, 2, 0, 3):
        recorder.ended(_call(number), lag=False)
    recorder.skipped(_call(4))
    tally = recorder.fold()
    assert (tally.skipped, tally.ended, tally.corrected.count) == (3, 2, 2)
    assert sum(found.started for found in tally.slices.slices) == 5
    assert sum(found.ended for found in tally.slices.slices) == 2


def test_messages_beyond_the_bound_share_one_kind_and_keep_their_status() -> None:
    recorder = _recorder()
    for number in range(3 * MAX_ERROR_KINDS):
        code = 14 if number % 2 else 8
        recorder.ended(_call(number, status=code, message=f"no {number}"), lag=False)
    tally = recorder.fold()
    assert len(tally.errors) == MAX_ERROR_KINDS
    assert tally.errors[OTHER_ERRORS] == 2 * MAX_ERROR_KINDS + 1
    assert sum(tally.errors.values()) == 3 * MAX_ERROR_KINDS
    half = 3 * MAX_ERROR_KINDS // 2
    assert tally.statuses == {"ResourceExhausted": half, "Unavailable": half}


def test_statuses_that_grpc_does_not_have_are_bounded_too() -> None:
    recorder = _recorder()
    for code in range(17, 17 + 3 * MAX_ERROR_KINDS):
        recorder.ended(_call(code, status=code, message="?"), lag=False)
    tally = recorder.fold()
    assert len(tally.statuses) == MAX_ERROR_KINDS
    assert tally.statuses["Unknown"] == 2 * MAX_ERROR_KINDS + 1
    assert tally.statuses["Code(17)"] == 1


def test_kinds_stay_bounded_when_tallies_are_added() -> None:
    whole = Tally()
    for part in range(4):
        other = Tally()
        for number in range(MAX_ERROR_KINDS):
            other.add_errors(f"{part} {number}", 1)
        whole.merge(other)
    assert len(whole.errors) == MAX_ERROR_KINDS
    assert sum(whole.errors.values()) == 4 * MAX_ERROR_KINDS


def test_what_is_taken_adds_up_to_the_whole() -> None:
    taken, folded = _recorder(), _recorder()
    sent = Tally()
    for number in range(1000):
        call = _call(
            number, due_ms=number, sent_ms=number + 1, ended_ms=number + 5, status=number % 7
        )
        for recorder in (taken, folded):
            recorder.ended(call, lag=True)
        if number % 90 == 0:
            sent.merge(pickle.loads(pickle.dumps(taken.take())))
            folded.fold()
    sent.merge(taken.take())
    whole = folded.fold()
    assert sent.slices == whole.slices
    assert (sent.statuses, sent.errors) == (whole.statuses, whole.errors)
    assert sent.corrected.counts.tolist() == whole.corrected.counts.tolist()
    for name in ("ended", "responses", "first_ns", "last_ns"):
        assert getattr(sent, name) == getattr(whole, name)


def test_merging_leaves_the_other_tally_as_it_is() -> None:
    recorder = _recorder()
    recorder.ended(_call(0), lag=False)
    other = recorder.fold()
    before = pickle.dumps(other)
    whole = Tally()
    whole.merge(other)
    whole.merge(other)
    assert (whole.ended, whole.slices.slices[0].ended) == (2, 2)
    assert pickle.dumps(other) == before


@contextlib.contextmanager
def _part() -> Iterator[DetailsPart]:
    with tempfile.TemporaryFile(buffering=0) as file:
        yield DetailsPart(file)


def _tell(recorder: Recorder, part: DetailsPart) -> None:
    recorder.fold()
    listed = recorder.listed()
    assert listed is not None
    part.told(pickle.loads(pickle.dumps(listed)))


def test_details_of_several_processes_come_in_order_of_end() -> None:
    with _part() as first, _part() as second:
        for place, part in enumerate((first, second)):
            recorder = _recorder(details=part.file)
            for number in range(place, 100, 2):
                # Within a fold, later ones end first.
                failed = number % 10 == 0
                call = _call(
                    number,
                    due_ms=number,
                    sent_ms=number + 1,
                    ended_ms=500 - number,
                    status=4 if failed else 0,
                    message=f"late {place}" if failed else "",
                )
                recorder.ended(call, lag=False)
            _tell(recorder, part)
        details = list(Details([first, second]))
    assert len(details) == 100
    ends = [detail.timestamp_ns + detail.latency_ns for detail in details]
    # The processes read the two clocks at instants of their own.
    assert all(second - first > -_MS for first, second in zip(ends, ends[1:], strict=False))
    assert [detail.latency_ns for detail in details][:2] == [(500 - 2 * 99) * _MS, 304 * _MS]
    assert details[0].uncorrected_ns == (500 - 2 * 99 - 1) * _MS
    failed_ones = [detail for detail in details if detail.error]
    assert {detail.status for detail in failed_ones} == {"DeadlineExceeded"}
    assert {detail.error for detail in failed_ones} == {
        "rpc error: code = DeadlineExceeded desc = late 0"
    }
    assert len(failed_ones) == 10


def test_kinds_of_each_process_are_its_own() -> None:
    with _part() as first, _part() as second, _part() as third:
        parts = [first, second, third]
        for place, part in enumerate(parts):
            recorder = _recorder(details=part.file)
            for number in range(6):
                # New ones come up also after some were told.
                status = number // 3 * (place + 1)
                recorder.ended(_call(number, ended_ms=10 * number + place, status=status), lag=True)
                _tell(recorder, part)
        statuses = [detail.status for detail in Details(parts)]
    assert statuses == ["OK"] * 9 + ["Canceled", "Unknown", "InvalidArgument"] * 3


def test_details_tell_the_time_of_day() -> None:
    before = time.time_ns()
    now = time.monotonic_ns()
    with _part() as part:
        recorder = Recorder(now, count_errors=False, skip_first=0, details=part.file)
        call = Call(0, 0, now)
        call.sent_ns, call.ended_ns, call.status, call.responses = now, now + 1, 0, 1
        recorder.ended(call, lag=False)
        _tell(recorder, part)
        (detail,) = Details([part])
    assert before - _MS <= detail.timestamp_ns <= time.time_ns() + _MS
    assert (detail.latency_ns, detail.status, detail.error) == (1, "OK", "")


def test_no_more_details_than_the_bound_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.loadtest.measure.details.MAX_DETAILS", 30)
    with _part() as first, _part() as second:
        for place, part in enumerate((first, second)):
            recorder = _recorder(details=part.file)
            for number in range(50):
                recorder.ended(_call(number, ended_ms=2 * number + 1 + place), lag=False)
                if number % 20 == 0:
                    recorder.fold()
            _tell(recorder, part)
            assert len(part.mapped()) == 30
        latencies = [detail.latency_ns // _MS for detail in Details([first, second])]
    assert latencies == list(range(1, 31))


def test_only_records_that_were_told_of_count() -> None:
    with _part() as part:
        recorder = _recorder(details=part.file)
        for number in range(3):
            recorder.ended(_call(number), lag=False)
        _tell(recorder, part)
        recorder.ended(_call(3), lag=False)
        recorder.fold()
        assert len(list(Details([part]))) == 3


def test_a_full_disk_ends_the_records_and_nothing_else() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        part = DetailsPart(full)
        recorder = _recorder(details=full)
        recorder.ended(_call(0), lag=False)
        _tell(recorder, part)
        recorder.ended(_call(1), lag=False)
        _tell(recorder, part)
        details = Details([part])
        assert (recorder.take().ended, list(details)) == (2, [])
        assert details.fault == "No space left on device"


def test_a_run_without_calls_leaves_an_empty_record() -> None:
    with _part() as part:
        recorder = _recorder(details=part.file)
        tally = recorder.take()
        _tell(recorder, part)
        assert list(Details([part])) == []
    assert (tally.ended, tally.first_ns, tally.slices.slices) == (0, 0, [])
