"""CSV, Prometheus' text and InfluxDB's lines, where ghz's form alone does not say what is right."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.load_options import Format
from tailrace.loadtest.report.write import write_report
from tests.support.load_results import UNAVAILABLE, load_result, written_details

ERROR = 'rpc error: code = Unknown desc = one, "two" = 2\nthree'


def text(result: RunResult, form: Format) -> str:
    file = io.StringIO()
    told = dataclasses.replace(result, options=dataclasses.replace(result.options, format=form))
    write_report(told, [], [], file)
    return file.getvalue()


@pytest.fixture
def failing() -> RunResult:
    due, latencies = np.array([10**18, 2 * 10**18]), np.array([1_234_567, 8_000_000])
    kinds = [("OK", ""), ("Unknown", ERROR)]
    details = written_details(due, latencies, np.array([0, 1]), kinds)
    return dataclasses.replace(load_result([1.234567], errors={ERROR: 1}), details=details)


def samples(result: RunResult) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text(result, Format.PROMETHEUS)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_errors_of_csv_are_quoted(failing: RunResult) -> None:
    rows = list(csv.reader(io.StringIO(text(failing, Format.CSV).removeprefix("\n"))))
    assert rows == [
        ["duration (ms)", "status", "error"],
        ["1.23", "OK", ""],
        ["8.00", "Unknown", ERROR],
    ]


def test_buckets_are_cumulative_and_sums_are_of_latencies() -> None:
    result = load_result(np.full(1000, 5.0), errors={UNAVAILABLE: 10})
    result.tally.corrected.record(np.array([15_000_000]))
    found = samples(result)
    buckets = [value for _, value in found["ghz_run_histogram_bucket"]]
    bounds = [float(labels["le"]) for labels, _ in found["ghz_run_histogram_bucket"]]
    assert buckets == sorted(buckets) and bounds == sorted(bounds)
    assert buckets[-2:] == [1001, 1001]
    assert found["ghz_run_histogram_count"][0][1] == found["ghz_run_latency_count"][0][1] == 1001
    assert found["ghz_run_histogram_sum"][0][1] == pytest.approx(5.015)
    assert found["ghz_run_latency_sum"][0][1] == pytest.approx(5.015e9)
    assert found["ghz_run_count"][0][1] == 1010
    assert found["ghz_run_errors"][0][1] == 10


def test_labels_are_escaped() -> None:
    name = 'a "name" with \\ and\nlines'
    labels, _ = samples(load_result(name=name))["ghz_run_count"][0]
    assert labels["name"] == name


def test_failed_calls_are_lines_of_their_own(failing: RunResult) -> None:
    first, second, end = text(failing, Format.INFLUX_DETAILS).split("\n")
    assert end == ""
    assert first.endswith(
        ',hasError=false latency=1234567,error="",status="OK" 1000000000001234567'
    )
    assert second.endswith(
        r',hasError=true latency=8000000,error="rpc\ error:\ code\ \=\ Unknown\ desc\ \=\ one\,'
        r'\ \"two\"\ \=\ 2\ three",status="Unknown" 2000000000008000000'
    )


def test_influx_tells_the_run_in_one_line() -> None:
    result = load_result([5.0, 6.0], rps=10.0, name=" a run ", tags={"b": "2", "a": "1"})
    told = text(result, Format.INFLUX_SUMMARY)
    assert told.count("\n") == 1
    assert told.startswith(r'ghz_run,name="a\ run",call="tailrace.v1.PredictionService/Predict",')
    assert r'tags="{\"a\":\"1\"\,\"b\":\"2\"}",errors=0,has_errors=false count=2,' in told
    assert told.endswith(",errors=0 1795350615356000000\n")


def test_lines_stay_lines_whatever_names_and_errors_have(failing: RunResult) -> None:
    options = dataclasses.replace(failing.options, name="two\r\nlines")
    named = dataclasses.replace(failing, options=options)
    assert text(named, Format.INFLUX_SUMMARY).count("\n") == 1
    lines = text(named, Format.INFLUX_DETAILS).splitlines()
    assert [line.partition(",")[0] for line in lines] == ["ghz_detail"] * 2
