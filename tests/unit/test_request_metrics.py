"""What is counted of requests and of the hop calls made for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from tailrace.cli.pipeline_check import check_path
from tailrace.courier import metrics as courier_metrics
from tailrace.gateway.arrival import CallArrival
from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.hop_account import HopAccount
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.gateway.outcome_counts import prepare_counts
from tailrace.gateway.predictions import degradation_reason
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import TailraceError, Unavailable
from tailrace.submissions.records import DeadReason
from tailrace.v1 import prediction_service_pb2
from tests.support.pipeline_files import PIPELINE, changed, write_folder
from tests.support.simulated_hops import Behave, SimulatedChain
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import load_pipeline, write_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(8, 1, 5 * MS, 500 * MS, 100, 1_000_000)
HOPS = ("ingest", "inference", "postprocess")


class Counted:
    """What was counted since it was made, of the pipeline `under-test`."""

    def __init__(self) -> None:
        self._before = self._values()

    def __call__(self, name: str, **labels: str) -> float:
        found = {"pipeline": "under-test", **labels}
        key = name, tuple(sorted(found.items()))
        return self._values().get(key, 0.0) - self._before.get(key, 0.0)

    @staticmethod
    def _values() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }


def former(folder: Path, behave: Behave, slo: str = "") -> ConvoyFormer:
    directory = write_pipeline(folder)
    file = directory / "under-test.yaml"
    file.write_text(file.read_text() + slo)
    return ConvoyFormer(SimulatedChain(behave).chain(load_pipeline(directory)), BOUNDS)


async def outcomes_of(entrance: ConvoyFormer, count: int, timeout_ms: int) -> list[Outcome]:
    now_ns = round(asyncio.get_running_loop().time() * 1e9)
    arrival = CallArrival(OutcomeAccount(0.0), count)
    rows = []
    for number in range(count):
        request = prediction_service_pb2.PredictRequest()
        request.fields["x"].double_value = number
        row = ConvoyRow(
            pipeline="under-test",
            request_id=str(number),
            fields=request.fields,
            deadline_ns=now_ns + timeout_ms * MS,
            granted_ns=timeout_ms * MS,
            received_ns=now_ns,
        )
        arrival.add(row, number)
        rows.append(row)
    entrance.submit(rows)
    arrival.watch()
    return await arrival.outcomes()


def test_what_hops_spent_is_counted_for_each_request(tmp_path: Path) -> None:
    entrance = former(tmp_path, lambda hop, rows: (0.02 if hop == "inference" else 0.001, None))
    counted = Counted()
    run_virtually(outcomes_of(entrance, 5, 1000))
    for hop in HOPS:
        assert counted(names.HOP_ATTEMPTS_TOTAL, hop=hop) == 5
        for name in (
            names.HOP_SECONDS, names.HOP_QUEUE_SECONDS, names.HOP_NETWORK_SECONDS,
            names.HOP_WORK_SECONDS, names.HOP_BUDGET_SECONDS, names.HOP_BUDGET_SPENT_RATIO,
        ):  # fmt: skip
            assert counted(f"{name}_count", hop=hop) == 5, name
    assert counted(f"{names.HOP_SECONDS}_sum", hop="inference") == pytest.approx(0.1)
    assert counted(f"{names.HOP_NETWORK_SECONDS}_sum", hop="inference") == pytest.approx(0.1)
    assert counted(names.PREDICTIONS_TOTAL, outcome="OK") == 5
    assert counted(f"{names.PREDICTION_SECONDS}_count", outcome="ok") == 5
    assert counted(f"{names.PREDICTION_SECONDS}_sum", outcome="ok") == pytest.approx(0.11)
    assert counted(f"{names.CONVOY_ROWS}_sum") == 5
    assert counted(f"{names.CONVOY_WAIT_SECONDS}_count") == 5


def test_a_call_that_fails_counts_its_rows_attempts_and_reason(tmp_path: Path) -> None:
    def behave(hop: str, rows: int) -> tuple[float, TailraceError | None]:
        return 0.001, Unavailable("as told") if hop == "inference" else None

    entrance = former(tmp_path, behave)
    counted = Counted()
    run_virtually(outcomes_of(entrance, 3, 1000))
    attempts = counted(names.HOP_ATTEMPTS_TOTAL, hop="inference")
    assert attempts in (3, 6)
    assert (
        counted(names.HOP_FAILURES_TOTAL, hop="inference", reason=Unavailable("").reason.name) == 3
    )
    assert counted(f"{names.HOP_SECONDS}_count", hop="inference") == 3
    # Nobody knows what the service did with that time.
    assert counted(f"{names.HOP_WORK_SECONDS}_count", hop="inference") == 0
    assert counted(names.PREDICTIONS_TOTAL, outcome="UNAVAILABLE") == 3
    assert counted(f"{names.PREDICTION_SECONDS}_count", outcome="error") == 3
    assert counted(f"{names.PREDICTION_SECONDS}_count", outcome="ok") == 0


@pytest.mark.parametrize("slow", HOPS)
def test_a_deadline_is_missed_at_the_hop_that_took_the_time(tmp_path: Path, slow: str) -> None:
    entrance = former(tmp_path, lambda hop, rows: (10.0 if hop == slow else 0.001, None))
    counted = Counted()
    run_virtually(outcomes_of(entrance, 4, 100))
    misses = {hop: counted(names.DEADLINE_MISSES_TOTAL, hop=hop) for hop in (*HOPS, "queue")}
    assert misses == {**dict.fromkeys((*HOPS, "queue"), 0), slow: 4}
    assert counted(names.HOP_FAILURES_TOTAL, hop=slow, reason="DEADLINE_EXCEEDED") == 4
    assert counted(names.PREDICTIONS_TOTAL, outcome="DEADLINE_EXCEEDED") == 4


def test_a_deadline_that_passes_before_the_departure_is_missed_in_the_queue(
    tmp_path: Path,
) -> None:
    entrance = former(tmp_path, lambda hop, rows: (0.5 if hop == "ingest" else 0.001, None))

    async def scenario() -> None:
        # Two convoys at most are under way, whoever comes later waits.
        first = [asyncio.ensure_future(outcomes_of(entrance, 8, 2000)) for _ in range(2)]
        await asyncio.sleep(0.01)
        await outcomes_of(entrance, 3, 50)
        await asyncio.gather(*first)

    counted = Counted()
    run_virtually(scenario())
    refused = counted(names.REFUSED_TOTAL, reason="QUEUE_TOO_LONG")
    assert (counted(names.DEADLINE_MISSES_TOTAL, hop="queue"), refused) == (3, 0)
    assert counted(names.PREDICTIONS_TOTAL, outcome="OK") == 16


def test_objectives_are_bounds_and_follow_the_version(tmp_path: Path) -> None:
    def bounds(name: str, **labels: str) -> set[str]:
        wanted = {"pipeline": "under-test", **labels}
        return {
            sample.labels["le"]
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name == f"{name}_bucket"
            and {key: value for key, value in sample.labels.items() if key != "le"} == wanted
        }

    def idle(hop: str, rows: int) -> tuple[float, TailraceError | None]:
        return 0.0, None

    latency = "slo:\n  latency:\n"
    whole = latency + "    - {percentile: 99, within_ms: 81}\n"
    former(tmp_path / "1", idle, whole)
    assert {"0.081"} <= bounds(names.PREDICTION_SECONDS, outcome="ok")
    assert {"0.081"} <= bounds(names.PREDICTION_SECONDS, outcome="error")
    assert "0.081" not in bounds(names.HOP_SECONDS, hop="inference")
    former(tmp_path / "2", idle, whole + "    - {percentile: 95, within_ms: 33, hop: inference}\n")
    assert "0.033" in bounds(names.HOP_SECONDS, hop="inference")
    assert "0.033" not in bounds(names.HOP_SECONDS, hop="ingest")
    # What was promised once stays a bound: to take it away would begin the series anew.
    former(tmp_path / "3", idle, "")
    assert {"0.081"} <= bounds(names.PREDICTION_SECONDS, outcome="ok")


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("features failed: STORE_UNAVAILABLE", "STORE_UNAVAILABLE"),
        ("accounts: stale", "stale"),
        ("missing: missing", "missing"),
        ("items: 2 of 3 missing", "missing"),
        ("clicks: not kept for this instant", "not_kept"),
    ],
)
def test_the_reason_of_a_degradation_is_one_of_few(detail: str, reason: str) -> None:
    quality = prediction_service_pb2.QUALITY_DEFAULT_FEATURES
    response = prediction_service_pb2.PredictResponse(quality=quality)
    response.quality_reasons.add(
        quality=prediction_service_pb2.QUALITY_STALE_FEATURES, detail="other: stale"
    )
    response.quality_reasons.add(quality=quality, detail=detail)
    assert degradation_reason(response) == reason


def test_failures_and_degradations_begin_at_zero(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("features.on_failure", "defaults"), ("pipeline", "zero"))
    (pipeline,) = check_path(write_folder(tmp_path, content)).pipelines

    prepare_counts(pipeline)
    HopAccount(pipeline, "features")

    series: dict[str, set[tuple[str, ...]]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.labels.get("pipeline") == "zero" and sample.name.endswith("_total"):
                assert sample.value == 0
                values = [value for label, value in sample.labels.items() if label != "pipeline"]
                series.setdefault(sample.name, set()).add(tuple(values))
    assert ("INTERNAL",) in series[names.PREDICTIONS_TOTAL]
    assert ("features", "FEATURE_STORE_UNAVAILABLE") in series[names.HOP_FAILURES_TOTAL]
    assert series[names.DEGRADED_TOTAL] >= {
        ("STALE_FEATURES", "stale"),
        ("DEFAULT_FEATURES", "missing"),
        ("DEFAULT_FEATURES", "not_kept"),
        ("DEFAULT_FEATURES", "HOP_UNAVAILABLE"),
        ("DEFAULT_FEATURES", "DEADLINE_EXCEEDED"),
    }


def test_dead_letters_begin_at_zero() -> None:
    reasons = {
        sample.labels["reason"]
        for metric in courier_metrics.DEAD.collect()
        for sample in metric.samples
        if sample.name == names.COURIER_DEAD_TOTAL
    }

    assert reasons >= {reason.value for reason in DeadReason}
