"""A run in Prometheus' text form, under ghz's names of metrics and labels."""

from __future__ import annotations

from itertools import accumulate
from typing import TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.load_options import LoadOptions, Schedule
from tailrace.loadtest.report.figures import figures
from tailrace.loadtest.report.go_forms import number
from tailrace.loadtest.report.options_echo import options_echo

_ALWAYS = {
    "rps": 0,
    "import-paths": [],
    "skipTLS": False,
    "async": False,
    "count-errors": False,
    "skipFirst": 0,
    "duration": 0,
    "timeout": 0,
    "keepalive": 0,
    "name": "",
}


def write_prometheus(result: RunResult, file: TextIO) -> None:
    """Writes ghz's metrics of a run.

    Latencies are in nanoseconds, and the bounds of the histogram's buckets in seconds, as in ghz.
    Unlike ghz's, buckets are cumulative and sums are sums of latencies, as Prometheus has them.
    """
    told = figures(result)
    labels = _labels(result, told.end_reason)
    lines: list[str] = []

    def gauge(name: str, value: float) -> None:
        lines.append(f"# TYPE ghz_run_{name} gauge")
        lines.append(f"ghz_run_{name}{{{labels}}} {number(value)}")

    gauge("count", told.count)
    gauge("total", told.total_ns)
    gauge("average", told.average_ns)
    gauge("fastest", told.fastest_ns)
    gauge("slowest", told.slowest_ns)
    gauge("rps", told.rps)
    latencies = result.tally.corrected
    sample = f"{{{labels}}}"
    lines.append("# TYPE ghz_run_histogram histogram")
    sums = accumulate(mark.count for mark in told.histogram)
    for mark, count in zip(told.histogram, sums, strict=True):
        bound = number(mark.mark_s)
        lines.append(f'ghz_run_histogram_bucket{{{labels},le="{bound}"}} {count}')
    lines.append(f'ghz_run_histogram_bucket{{{labels},le="+Inf"}} {latencies.count}')
    lines.append(f"ghz_run_histogram_sum{sample} {number(latencies.total_ns / 1e9)}")
    lines.append(f"ghz_run_histogram_count{sample} {latencies.count}")
    lines.append("# TYPE ghz_run_latency summary")
    for percent, ns in told.distribution.items():
        quantile = number(percent / 100)
        lines.append(f'ghz_run_latency{{{labels},quantile="{quantile}"}} {number(ns)}')
    lines.append(f"ghz_run_latency_sum{sample} {number(latencies.total_ns)}")
    lines.append(f"ghz_run_latency_count{sample} {latencies.count}")
    gauge("errors", told.error_count)
    file.writelines(f"{line}\n" for line in lines)


def _labels(result: RunResult, end_reason: str) -> str:
    values = _ALWAYS | options_echo(result.options) | {"end_reason": end_reason}
    for key in ("data", "metadata", *_unscheduled(result.options)):
        values.pop(key, None)
    return ",".join(f'{key.replace("-", "_")}="{_value(value)}"' for key, value in values.items())


def _unscheduled(options: LoadOptions) -> list[str]:
    # A schedule that is constant has nothing to say of itself.
    rate = ("schedule", "start", "end", "step", "step-duration", "max-duration")
    keys = []
    if options.load_schedule is Schedule.CONST:
        keys += [f"load-{key}" for key in rate]
    if options.concurrency_schedule is Schedule.CONST:
        keys += [f"concurrency-{key}" for key in rate]
    return keys


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ",".join(value) if isinstance(value, list) else str(value)
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
