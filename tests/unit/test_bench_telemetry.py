"""The arithmetic of `make bench-telemetry`."""

from __future__ import annotations

from collections import Counter

import pytest

from tailrace.loadtest.bench.agreement import count_wrong
from tailrace.loadtest.bench.generator.answers import answer_reader
from tailrace.loadtest.bench.generator.orders import Endpoint
from tailrace.loadtest.bench.slices import Slice
from tailrace.loadtest.bench.telemetry_ratios import BARS, Pairs, mesh_cpu_us, ratios_of
from tailrace.loadtest.bench.telemetry_run import mean_convoy, messages_of
from tailrace.loadtest.bench.telemetry_variants import OFF, VARIANTS, turns_of
from tailrace.v1 import ledger_pb2, prediction_service_pb2

NAMES = [one.name for one in VARIANTS]
SERVICES = ("gateway", "features")
RECEIVERS = {"takes": "http://takes", "hangs": "http://hangs", "logs": "logs:1"}


def measured(
    name: str, gateway_us: float, features_us: float, p50_ms: float = 1.0, p99_ms: float = 2.0
) -> Slice:
    cpu_us = {
        f"{name} gateway": gateway_us,
        f"{name} features": features_us,
        "triton": 1e6,
        "redis": 1e6,
        "counterparts": 1e6,
        "generator": 1e6,
    }
    return Slice(
        p50_ms, p99_ms, 80.0, failed={}, wrong=0, degraded=0, checked=0, convoy_rows=1.0,
        cpu_us=cpu_us, idle_cores=0.0, outside_cores=0.0,
    )  # fmt: skip


def pairs_of(*pairs: tuple[Slice, Slice]) -> Pairs:
    found = Pairs()
    for variant, off in pairs:
        found.add(variant, off)
    return found


def test_only_the_processes_of_a_mesh_count() -> None:
    assert mesh_cpu_us(measured("sampled", 300, 100), SERVICES) == 400


def test_ratios_are_those_of_neighbours() -> None:
    # The machine became half as fast between the pairs, which no ratio shows.
    sampled = pairs_of(
        (measured("sampled", 205, 205), measured("off", 200, 200)),
        (measured("sampled", 404, 404), measured("off", 400, 400)),
        (measured("sampled", 909, 909), measured("off", 900, 900)),
    )
    ratios = ratios_of({"sampled": sampled}, SERVICES)
    assert set(ratios) == {"cpu_sampled_over_off"}
    found = ratios["cpu_sampled_over_off"]
    assert (found.median, found.lowest, found.highest) == pytest.approx((1.01, 1.01, 1.025))


def test_latency_is_compared_where_all_is_on_and_where_all_hangs() -> None:
    one = (measured("x", 1, 1, p50_ms=6, p99_ms=9), measured("off", 1, 1, p50_ms=5, p99_ms=10))
    ratios = ratios_of({name: pairs_of(one) for name in NAMES}, SERVICES, "_in_convoys")
    latencies = {name: ratio.median for name, ratio in ratios.items() if "latency" in name}
    assert latencies == {
        f"latency_{name}_in_convoys_over_off_{figure}": value
        for name in ("control", "all", "hung")
        for figure, value in (("p50", 1.2), ("p99", 0.9))
    }


def test_every_bar_is_of_a_ratio_that_is_measured() -> None:
    one = (measured("x", 1, 1), measured("off", 1, 1))
    assert set(BARS) <= set(ratios_of({name: pairs_of(one) for name in NAMES}, SERVICES))


def test_a_variant_that_was_not_measured_has_no_ratio() -> None:
    assert ratios_of({"sampled": Pairs()}, SERVICES) == {}


@pytest.mark.parametrize("names", [NAMES, NAMES[:3], NAMES[:2], NAMES[:1]])
def test_each_variant_is_measured_next_to_off_once_a_round(names: list[str]) -> None:
    for repeat in range(6):
        turns = turns_of(names, repeat)
        others = [turn.variant for turn in turns if turn.variant != OFF.name]
        assert sorted(others) == sorted(names)
        beside = [name for turn in turns for name in turn.beside]
        assert sorted(beside) == sorted(names)
        for place, turn in enumerate(turns):
            for name in turn.beside:
                near = {each.variant for each in turns[max(0, place - 1) : place + 2]}
                assert name in near


def test_each_variant_goes_before_off_as_often_as_after_it() -> None:
    before: Counter[str] = Counter()
    for repeat in range(10):
        turns = turns_of(NAMES, repeat)
        for place, turn in enumerate(turns):
            before.update([n for n in turn.beside if place and turns[place - 1].variant == n])
    assert before == dict.fromkeys(NAMES, 5)


def test_nothing_is_on_in_what_the_others_are_compared_with() -> None:
    settings = OFF.settings(RECEIVERS)
    assert "TAILRACE_TRACES_ENDPOINT" not in settings
    assert settings["TAILRACE_LOG_SAMPLE_RATE"] == "0"
    assert settings["TAILRACE_LOG_LEVEL"] == "error"
    assert not OFF.scrape_s


def test_a_variant_switches_on_what_its_name_says() -> None:
    settings = {one.name: one.settings(RECEIVERS) for one in VARIANTS}
    assert settings["control"] == OFF.settings(RECEIVERS)
    sampled = {"TAILRACE_TRACES_ENDPOINT": "http://takes", "TAILRACE_TRACES_SAMPLE_RATE": "0.01"}
    assert settings["sampled"] == OFF.settings(RECEIVERS) | sampled
    hung = settings["hung"]
    assert hung["TAILRACE_TRACES_ENDPOINT"] == "http://hangs"
    assert hung["TAILRACE_LOG_TCP"] == "logs:1"
    lines = {"TAILRACE_LOG_SAMPLE_RATE": "0.01", "TAILRACE_LOG_LEVEL": "info"}
    assert settings["all"] == OFF.settings(RECEIVERS) | sampled | lines


def test_a_convoy_counts_once_however_many_of_its_requests_are_in_the_sample() -> None:
    # Of ten convoys, nine have one request and one has eleven.
    assert mean_convoy([1] * 9 + [11] * 11) == pytest.approx(2.0)
    assert mean_convoy([]) == 0.0


def test_requests_are_put_into_messages_in_order() -> None:
    requests = [prediction_service_pb2.PredictRequest(request_id=str(each)) for each in range(5)]
    assert [
        prediction_service_pb2.PredictRequest.FromString(each) for each in messages_of(requests, 1)
    ] == requests
    batches = [
        prediction_service_pb2.PredictBatchRequest.FromString(each)
        for each in messages_of(requests, 2)
    ]
    assert [[request.request_id for request in batch.requests] for batch in batches] == [
        ["0", "1"], ["2", "3"],
    ]  # fmt: skip


def test_a_batch_is_read_answer_by_answer_and_an_error_is_no_score() -> None:
    remote = ledger_pb2.PLACEMENT_REMOTE
    response = prediction_service_pb2.PredictResponse(
        quality=prediction_service_pb2.QUALITY_LIVE,
        ledger=ledger_pb2.Ledger(convoy_rows=2, entries=[ledger_pb2.LedgerEntry(placement=remote)]),
    )
    response.prediction["probability"].double_value = 0.25
    answer = prediction_service_pb2.PredictBatchResponse()
    answer.results.add(response=response)
    answer.results.add().error.code = 14
    endpoint = Endpoint(
        target="t", method="m", messages_file="f", answers="mesh_batch", rows=2, placement=remote
    )
    reading = answer_reader(endpoint)(answer.SerializeToString())
    assert reading.scores[0] == 0.25
    assert count_wrong(reading.scores, [0.25, 0.5]) == 1
    assert (reading.live, reading.convoy_rows) == (True, 2)
