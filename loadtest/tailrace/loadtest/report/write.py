"""Tells a run in the form that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.load_options import Format
from tailrace.loadtest.report.csv_report import write_csv
from tailrace.loadtest.report.html import write_html
from tailrace.loadtest.report.influx_report import write_influx_details, write_influx_summary
from tailrace.loadtest.report.json_report import write_json
from tailrace.loadtest.report.prometheus_report import write_prometheus
from tailrace.loadtest.report.summary import write_summary
from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict


def write_report(
    result: RunResult,
    verdicts: Sequence[Verdict],
    comparisons: Sequence[Comparison],
    file: TextIO,
) -> None:
    """Writes a run in the form that its options name.

    Args:
        result: the run.
        verdicts: its objectives'; none where there are no objectives.
        comparisons: with the baseline; none where there is no baseline.
        file: where it goes; it stays open.

    Raises:
        LoadError: the records of its calls cannot be read.
        OSError: the report cannot be written.
    """
    match result.options.format:
        case Format.SUMMARY:
            write_summary(result, verdicts, comparisons, file)
        case Format.JSON | Format.PRETTY:
            pretty = result.options.format is Format.PRETTY
            write_json(result, verdicts, comparisons, file, pretty=pretty)
        case Format.CSV:
            write_csv(result, file)
        case Format.HTML:
            write_html(result, verdicts, comparisons, file)
        case Format.PROMETHEUS:
            write_prometheus(result, file)
        case Format.INFLUX_SUMMARY:
            write_influx_summary(result, file)
        case Format.INFLUX_DETAILS:
            write_influx_details(result, file)
