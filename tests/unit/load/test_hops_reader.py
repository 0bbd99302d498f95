"""Answers of Tailrace's are read for hops, quality and deadline, whatever a server tells."""

from __future__ import annotations

import pickle

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tailrace.loadtest.hops.hop_names import COSTS, PARTS
from tailrace.loadtest.hops.hop_tally import MAX_KINDS, OTHER_KINDS, HopTally
from tailrace.loadtest.hops.prediction_reader import PredictionReader
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.runtime.placement import HOPS
from tailrace.v1 import prediction_service_pb2 as pb
from tests.support.load_results import hop_tally, prediction

MS = 1_000_000


def _read(method: str, *messages: tuple[bytes, int], timeout_s: float = 20.0) -> HopTally:
    reader = PredictionReader(method, timeout_s)
    for payload, latency_ns in messages:
        reader.read(payload, latency_ns)
    return reader.tally


def _close(measured_ns: float, expected_ns: float) -> bool:
    # Histograms keep three digits.
    return measured_ns == pytest.approx(expected_ns, rel=0.002)


def test_each_part_of_a_ledger_is_in_its_histogram() -> None:
    answer = prediction(1.5)
    ledger = answer.ledger
    tally = _read("Predict", (answer.SerializeToString(), ledger.total_ns + 3 * MS))

    assert tally.answered == tally.good == 1
    assert tally.span("total").maximum_ns == ledger.total_ns
    assert tally.span("convoy_wait").maximum_ns == ledger.convoy_wait_ns
    assert tally.span("unattributed").maximum_ns == ledger.unattributed_ns
    assert tally.span("outside").maximum_ns == 3 * MS
    for hop, entry in zip(HOPS, ledger.entries, strict=True):
        assert tally.span(hop).maximum_ns == entry.duration_ns
        for part in PARTS:
            assert tally.span(f"{hop}.{part}").maximum_ns == getattr(entry, f"{part}_ns")
        counts = tally.hops[hop]
        assert (counts.answers, counts.critical) == (1, int(entry.critical))
        # Two requests shared the convoy's work.
        assert counts.busy_ns == entry.work_ns / 2


def test_hops_that_do_not_come_up_are_empty_and_unknown_names_are_errors() -> None:
    answer = prediction()
    del answer.ledger.entries[1]
    tally = _read("Predict", (answer.SerializeToString(), 1))

    assert "features" not in tally.hops
    assert tally.span("features").count == 0
    with pytest.raises(KeyError):
        tally.span("feature")


def test_costs_of_the_critical_path_add_up_to_the_whole() -> None:
    latency_ns = prediction().ledger.total_ns + 2 * MS
    tally = _read("Predict", *[(prediction().SerializeToString(), latency_ns)] * 10)
    whole = tally.bands.breakdown()

    assert whole is not None
    assert tuple(whole.costs_ns) == COSTS
    assert sum(whole.costs_ns.values()) == latency_ns
    # It ran beside the features, and no answer waited for it.
    assert whole.costs_ns["ingest.work"] == 0
    assert whole.costs_ns["outside"] == 2 * MS
    assert (whole.answers, whole.share) == (10, 1.0)


def test_the_slowest_answers_have_their_own_costs() -> None:
    usual = [(prediction(1.0).SerializeToString(), prediction(1.0).ledger.total_ns)] * 99
    slow = (prediction(10.0).SerializeToString(), prediction(10.0).ledger.total_ns)
    tally = _read("Predict", *usual, slow)
    median, slowest = tally.bands.breakdown(45, 55), tally.bands.breakdown(99.5, 100)

    assert median is not None and slowest is not None
    assert (median.answers, slowest.answers) == (99, 1)
    assert sum(slowest.costs_ns.values()) == slow[1]
    assert slowest.least_ns <= slow[1] < slowest.most_ns
    assert median.most_ns <= slowest.least_ns
    assert slowest.costs_ns["features.work"] > 50 * median.costs_ns["features.work"]


def test_an_empty_tally_has_no_breakdown_and_no_shares() -> None:
    tally = HopTally()

    assert tally.bands.breakdown() is None
    assert (tally.answered, tally.goodput(), tally.live) == (0, 0.0, 0.0)


def test_answers_are_good_degraded_or_late() -> None:
    in_time, too_late = 9 * MS, 11 * MS
    tally = _read(
        "Predict",
        (prediction(deadline_ms=10.0).SerializeToString(), in_time),
        (prediction(deadline_ms=10.0).SerializeToString(), too_late),
        (prediction(quality="PRIOR", deadline_ms=10.0).SerializeToString(), in_time),
        (prediction(quality="PRIOR", deadline_ms=10.0).SerializeToString(), too_late),
    )

    assert (tally.good, tally.degraded, tally.late) == (1, 1, 2)
    assert tally.qualities == {"LIVE": 2, "PRIOR": 2}
    assert tally.reasons == {"PRIOR features: plane: stale": 2}
    assert tally.live == 0.5
    # A call without an answer is a request, too.
    assert tally.goodput() == 0.25
    assert tally.goodput(failed_calls=6) == 0.1


def test_without_a_granted_deadline_the_timeout_of_calls_counts() -> None:
    answer = prediction()
    answer.ledger.deadline_ns = 0
    payload = answer.SerializeToString()

    assert _read("Predict", (payload, 30 * MS), timeout_s=0.02).late == 1
    assert _read("Predict", (payload, 30 * MS), timeout_s=0).late == 0


def test_rows_of_batches_are_answers_or_errors() -> None:
    batch = pb.PredictBatchResponse()
    batch.results.add(response=prediction())
    batch.results.add(error=Status(code=8, details=[_info("QUEUE_FULL")]))
    batch.results.add(error=Status(code=8, details=[_info("QUEUE_FULL")]))
    batch.results.add(error=Status(code=99))
    tally = _read("PredictBatch", (batch.SerializeToString(), 20 * MS))

    assert (tally.answered, tally.failed) == (1, 3)
    assert tally.errors == {"RESOURCE_EXHAUSTED QUEUE_FULL": 2, "99": 1}
    assert tally.goodput() == 0.25
    assert _close(
        tally.span("outside").maximum_ns, 20 * MS - batch.results[0].response.ledger.total_ns
    )


def test_the_latency_of_a_stream_is_not_that_of_its_rows() -> None:
    message = pb.PredictStreamResponse()
    message.results.add(place=0, response=prediction(deadline_ms=10.0))
    message.results.add(place=1, response=prediction(4.0, deadline_ms=10.0))
    tally = _read("PredictStream", (message.SerializeToString(), 5_000 * MS))

    assert (tally.good, tally.late) == (1, 1)
    assert tally.span("outside").count == 0


def test_submissions_are_answers_errors_or_pending() -> None:
    answered, failed, queued = (pb.GetPredictionResponse() for _ in range(3))
    answered.prediction.response.CopyFrom(prediction())
    failed.prediction.error.code = 4
    queued.prediction.state = pb.PREDICTION_STATE_QUEUED
    messages = [(one.SerializeToString(), MS) for one in (answered, failed, queued)]
    tally = _read("GetPrediction", *messages)

    assert (tally.good, tally.pending) == (1, 1)
    assert tally.errors == {"DEADLINE_EXCEEDED": 1}


def test_what_is_no_answer_is_counted_and_does_no_harm() -> None:
    tally = _read("Predict", (b"\xff\xff\xff", MS), (prediction().SerializeToString(), MS))

    assert (tally.unreadable, tally.answered) == (1, 1)
    # It was asked for, and has no good answer.
    assert (tally.requests(failed_calls=2), tally.goodput(failed_calls=2)) == (4, 0.25)


def test_senseless_numbers_do_no_harm() -> None:
    answer = pb.PredictResponse()
    answer.quality = 77  # type: ignore[assignment]
    answer.ledger.total_ns = 2**63 - 1
    answer.ledger.convoy_wait_ns = -(2**63)
    answer.ledger.entries.add(hop=9, duration_ns=5)
    answer.ledger.entries.add(hop=1, duration_ns=2**63 - 1, work_ns=-5, critical=True)
    tally = _read("Predict", *[(answer.SerializeToString(), MS)] * 3)

    assert tally.qualities == {"77": 3}
    assert tally.degraded == 3
    assert tally.hops["ingest"].answers == 3
    assert list(tally.hops) == ["ingest"]


def test_a_ledger_of_many_entries_finds_room() -> None:
    answer = prediction()
    answer.ledger.entries.extend([answer.ledger.entries[2]] * 20_000)
    payload = answer.SerializeToString()
    tally = _read("Predict", (payload, MS), (prediction().SerializeToString(), MS), (payload, MS))

    assert tally.answered == 3
    assert tally.span("inference").count == 3 + 2 * 20_000
    assert tally.span("ingest").count == 3


def test_many_answers_are_all_counted() -> None:
    # More than are sorted at a time, and not a multiple of that.
    tally = hop_tally(2500)

    assert tally.answered == sum(tally.qualities.values()) == 2500
    assert tally.span("total").count == tally.hops["features"].answers == 2500
    assert tally.bands.counts.sum() == 2500


def test_kinds_are_bounded() -> None:
    reader = PredictionReader("Predict", 20.0)
    for number in range(3 * MAX_KINDS):
        answer = prediction(quality="PRIOR")
        answer.quality_reasons[0].detail = f"{number} {'x' * 10_000}"
        reader.read(answer.SerializeToString(), MS)
    reasons = reader.tally.reasons

    assert len(reasons) == MAX_KINDS + 1
    assert reasons[OTHER_KINDS] == 2 * MAX_KINDS
    assert max(map(len, reasons)) <= 120


def test_two_tallies_make_one() -> None:
    before, one, other = hop_tally(700, seed=3), hop_tally(700, seed=3), hop_tally(300, seed=4)
    one.merge(other)

    assert one.answered == 1000
    assert one.span("features").count == 1000
    assert one.hops["features"].answers == 1000
    assert one.good + one.degraded + one.late == sum(one.qualities.values())
    assert (
        one.span("total").total_ns == before.span("total").total_ns + other.span("total").total_ns
    )
    merged, parts = one.bands.sums_ns.sum(), before.bands.sums_ns.sum() + other.bands.sums_ns.sum()
    assert merged == pytest.approx(parts)


def test_a_tally_comes_through_a_pipe_as_it_was() -> None:
    tally = hop_tally(500)
    tally.errors["UNAVAILABLE"] = 2
    payload = pickle.dumps(tally)
    copy = pickle.loads(payload)

    # Workers tell theirs some times a second: empty buckets stay at home.
    assert len(payload) < tally.span("total").counts.nbytes
    assert _plain(copy) == _plain(tally)


def _plain(tally: HopTally) -> dict[str, object]:
    def told(histogram: LatencyHistogram) -> object:
        extremes = (histogram.minimum_ns, histogram.maximum_ns)
        return histogram.counts.tolist(), histogram.count, histogram.total_ns, extremes

    plain = {name: getattr(tally, name) for name in tally.__slots__}
    plain["histograms"] = {name: told(one) for name, one in tally.histograms.items()}
    plain["bands"] = (tally.bands.counts.tolist(), tally.bands.sums_ns.tolist())
    return plain


def _info(reason: str) -> Any:
    packed = Any()
    packed.Pack(ErrorInfo(reason=reason, domain="tailrace"))
    return packed
