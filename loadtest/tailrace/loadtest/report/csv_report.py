"""Calls as comma-separated values, in ghz's columns."""

from __future__ import annotations

import csv
from typing import TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.detail_rows import details_of


def write_csv(result: RunResult, file: TextIO) -> None:
    """Writes a line per call: `duration (ms),status,error`.

    The empty line before the heading is ghz's. An error with a comma, a quote or a line break in it
    is quoted (RFC 4180), which ghz leaves out.
    """
    file.write("\nduration (ms),status,error\n")
    rows = csv.writer(file, lineterminator="\n")
    rows.writerows(
        (f"{detail.latency_ns / 1e6:.2f}", detail.status, detail.error)
        for detail in details_of(result)
    )
