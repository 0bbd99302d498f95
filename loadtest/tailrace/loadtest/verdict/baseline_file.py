"""Reads the report of an earlier run: ours, or ghz's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.snapshot import read_snapshot
from tailrace.loadtest.measure.time_slices import TimeSlices
from tailrace.loadtest.verdict.bootstrap import SlicedRun, sliced_run

MIN_SLICES = 20
"""Of a run that is compared; fewer say too little of how its figures vary."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HINT = "a report that `--format json` wrote, or ghz's"


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier run.

    Attributes:
        path: its report.
        options: what was asked, under ghz's keys, as the report has it.
        run: what it came to, by slices of time.
        from_due: True if its latencies count from when calls were due, False if from when they
            were sent.
    """

    path: Path
    options: Mapping[str, Any]
    run: SlicedRun
    from_due: bool


def read_baseline(path: Path) -> Baseline:
    """Returns an earlier run.

    Args:
        path: its JSON report: ours, or ghz's with its details.

    Raises:
        LoadError: it cannot be read, is no such report, or the run was too short to compare with.
    """
    report = _json_object(path)
    own = report.get("tailrace")
    try:
        options = report["options"]
        if not isinstance(options, dict):
            raise TypeError("its options are no object")
        if isinstance(own, dict) and own.get("lost"):
            raise LoadError(
                f"the baseline {path} is of a run that lost load processes",
                "only a part of its load was made; make it anew",
            )
        if isinstance(own, dict):
            slices, duration_ns = read_snapshot(own["snapshot"])
            from_due = own.get("latencyFrom") == "due"
        else:
            slices, duration_ns = _of_details(path, report), int(report["total"])
            from_due = False
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else error
        raise LoadError(f"the baseline {path} is no report of a run: {told}", _HINT) from error
    run = sliced_run(slices, duration_ns)
    if len(run) < MIN_SLICES:
        raise LoadError(
            f"the baseline {path} is too short: {too_few(run, slices.length_ns)}",
            "make it anew with a longer -z",
        )
    return Baseline(path, options, run, from_due)


def too_few(run: SlicedRun, length_ns: int) -> str:
    """Returns in words that a run has less than `MIN_SLICES` slices, and what would do."""
    return (
        f"it has {len(run)} slices of {length_ns // 1_000_000} ms, and {MIN_SLICES} are needed to"
        f" tell how sure its figures are; runs of {MIN_SLICES * length_ns / 1e9:g} s and more do"
    )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise LoadError(f"the baseline {path} cannot be read: {error.strerror}", _HINT) from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"the baseline {path} is no JSON: {error}", _HINT) from error
    if not isinstance(report, dict):
        raise LoadError(f"the baseline {path} is no JSON object", _HINT)
    return report


def _of_details(path: Path, report: Mapping[str, Any]) -> TimeSlices:
    """Returns slices of time made of ghz's record per call."""
    details: Sequence[Mapping[str, Any]] = report.get("details") or ()
    if not details:
        raise ValueError("it has no details, by which its calls could be told apart")
    ends = np.array([_unix_ns(call["timestamp"]) for call in details], np.int64)
    latencies = np.array([int(call["latency"]) for call in details], np.int64)
    failed = np.array([call["status"] != "OK" for call in details], np.int64)
    start = int((ends - latencies).min())
    counted = np.ones_like(failed) if report["options"].get("count-errors") else 1 - failed
    slices = TimeSlices()
    slices.add(ends - start, np.where(counted, latencies, -1), failed)
    slices.add_started(ends - latencies - start)
    return slices


def _unix_ns(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1000
