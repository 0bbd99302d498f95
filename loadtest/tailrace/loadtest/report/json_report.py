"""JSON: ghz's keys, in ghz's order and types, and one key `tailrace` with what ghz lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.detail_rows import json_details
from tailrace.loadtest.report.figures import figures
from tailrace.loadtest.report.go_forms import rfc3339
from tailrace.loadtest.report.options_echo import options_echo
from tailrace.loadtest.report.tailrace_key import tailrace_key
from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict


def write_json(
    result: RunResult,
    verdicts: Sequence[Verdict],
    comparisons: Sequence[Comparison],
    file: TextIO,
    *,
    pretty: bool,
) -> None:
    """Writes a run as one JSON document; records of calls pass through, one at a time.

    Args:
        result: the run.
        verdicts: its objectives'.
        comparisons: with the baseline.
        file: where it goes.
        pretty: indented, as ghz's `pretty` is; else in one line.
    """
    begin, between, end = ("{\n  ", ",\n  ", "\n}\n") if pretty else ("{", ",", "}\n")
    colon = ": " if pretty else ":"
    file.write(begin)
    for key, value in _before_details(result).items():
        file.write(f'"{key}"{colon}{_text(value, pretty)}{between}')
    file.write(f'"details"{colon}')
    _write_details(json_details(result, pretty=pretty), file, pretty=pretty)
    after: dict[str, Any] = {"tags": result.options.tags} if result.options.tags else {}
    after["tailrace"] = tailrace_key(result, verdicts, comparisons)
    for key, value in after.items():
        file.write(f'{between}"{key}"{colon}{_text(value, pretty)}')
    file.write(end)


def _before_details(result: RunResult) -> dict[str, Any]:
    told = figures(result)
    latencies = [{"percentage": p, "latency": ns} for p, ns in told.distribution.items()]
    histogram = [
        {"mark": mark.mark_s, "count": mark.count, "frequency": mark.frequency}
        for mark in told.histogram
    ]
    name = result.options.name
    return {
        "date": rfc3339(told.date),
        **({"name": name} if name else {}),
        "endReason": told.end_reason,
        "options": options_echo(result.options),
        "count": told.count,
        "total": told.total_ns,
        "average": told.average_ns,
        "fastest": told.fastest_ns,
        "slowest": told.slowest_ns,
        "rps": told.rps,
        "errorDistribution": told.errors,
        "statusCodeDistribution": told.statuses,
        # As in ghz, null where there is none.
        "latencyDistribution": latencies or None,
        "histogram": histogram or None,
    }


def _write_details(details: Iterator[str], file: TextIO, *, pretty: bool) -> None:
    first = next(details, None)
    if first is None:
        file.write("null")
        return
    begin, between, end = ("[\n    ", ",\n    ", "\n  ]") if pretty else ("[", ",", "]")
    file.write(begin + first)
    file.writelines(between + detail for detail in details)
    file.write(end)


def _text(value: Any, pretty: bool) -> str:
    if not pretty:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Strings have no line breaks of their own in JSON.
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
