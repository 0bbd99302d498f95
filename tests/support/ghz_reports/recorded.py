"""Reports that ghz 0.121 wrote, and results made of the calls that they list."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.command_line import read_command_line
from tailrace.loadtest.options.read_options import read_options
from tests.support.ghz_reports.runs import RUNS
from tests.support.load_results import written_details

RECORDED = Path(__file__).parent / "recorded"


def recorded(run: str, form: str) -> str:
    """Returns a report of ghz's; each form is of a run of its own."""
    return (RECORDED / f"{run}.{form}").read_text(encoding="utf-8")


def recorded_document(run: str) -> Any:
    """Returns a JSON report of ghz's."""
    return json.loads(recorded(run, "json"))


def recorded_result(run: str, form: str) -> RunResult:
    """Returns a result of the very calls that ghz's JSON report of a run lists.

    Args:
        run: its name.
        form: the format that our report is to have.
    """
    document = recorded_document(run)
    flags = [*RUNS[run], "--format", form, document["options"]["host"]]
    options = read_options(read_command_line(flags))
    calls = document["details"]
    latencies = np.array([call["latency"] for call in calls], np.int64)
    ended = np.array([_ns(call["timestamp"]) for call in calls], np.int64)
    kinds = sorted({(call["status"], call["error"]) for call in calls})
    numbers = np.array([kinds.index((call["status"], call["error"])) for call in calls], np.int64)
    details = written_details(ended - latencies, latencies, numbers, kinds)
    tally = Tally(
        statuses=document["statusCodeDistribution"],
        errors=document["errorDistribution"],
        ended=document["count"],
    )
    counted = [not call["error"] or options.count_errors for call in calls]
    tally.corrected.record(latencies[counted])
    tally.uncorrected.record(latencies[counted])
    return RunResult(
        options=options,
        date=datetime.fromisoformat(document["date"]),
        end_reason=EndReason(document["endReason"]),
        duration_ns=document["total"],
        tally=tally,
        details=details,
    )


def _ns(timestamp: str) -> int:
    whole, _, rest = timestamp.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(
        rest.ljust(9, "0")
    )
