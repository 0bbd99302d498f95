"""What the JSON report tells beyond ghz's keys, under its key `tailrace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.loadtest.hops.hop_names import PARTS
from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.measure.lost_process import LostProcess
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.snapshot import snapshot
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.report.figures import PERCENTAGES, most_first
from tailrace.loadtest.report.generator_lines import cpu_per_call_ns
from tailrace.loadtest.report.go_forms import rfc3339_nano, unix_ns
from tailrace.loadtest.report.verdict_objects import comparison_object, verdict_object
from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict

_TAIL = (99.9, 99.99)


def tailrace_key(
    result: RunResult, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """Returns what is told beside ghz's keys: JSON values; times are in whole nanoseconds."""
    tally = result.tally
    return {
        "started": rfc3339_nano(unix_ns(result.date), result.date.tzinfo),
        # What ghz's keys tell latencies from.
        "latencyFrom": "due" if result.corrected_differs else "sent",
        "corrected": distribution(tally.corrected),
        "uncorrected": distribution(tally.uncorrected),
        "lag": distribution(tally.lag) if tally.lag.count else None,
        "generator": {
            "limited": result.limit.limited,
            "why": result.limit.why,
            "cpuPerCall": round(cpu_per_call_ns(result)),
            "processes": [_process(process) for process in result.processes or [tally]],
        },
        "calls": {
            "started": tally.started,
            "ended": tally.ended,
            "failed": tally.failed,
            "skipped": tally.skipped,
            "unknown": tally.unknown,
            "responses": tally.responses,
            "bytesSent": tally.bytes_sent,
            "bytesReceived": tally.bytes_received,
        },
        "lost": [_lost(each) for each in result.lost],
        # Why `details` lacks some.
        "detailsFault": result.details.fault if result.details is not None else "",
        "answers": _answers(tally.answers, tally) if isinstance(tally.answers, HopTally) else None,
        "verdicts": [verdict_object(verdict) for verdict in verdicts],
        "comparisons": [comparison_object(comparison) for comparison in comparisons],
        "snapshot": snapshot(result),
    }


def distribution(latencies: LatencyHistogram) -> dict[str, Any]:
    """Returns latencies as JSON values, percentiles up to 99.99 % in ghz's form."""
    percents = (*PERCENTAGES, *_TAIL)
    told = zip(percents, latencies.percentiles(percents), strict=True)
    return {
        "count": latencies.count,
        "average": int(latencies.mean_ns),
        "fastest": latencies.minimum_ns,
        "slowest": latencies.maximum_ns,
        "latencyDistribution": [{"percentage": p, "latency": ns} for p, ns in told],
    }


def _process(tally: Tally) -> dict[str, int]:
    return {
        "started": tally.started,
        "ended": tally.ended,
        "maxInFlight": tally.max_in_flight,
        "cpu": tally.cpu_ns,
        "wall": tally.wall_ns,
    }


def _lost(lost: LostProcess) -> dict[str, Any]:
    return {
        "process": lost.name,
        "how": lost.how,
        "why": lost.why,
        "ended": lost.ended_ns,
        "told": lost.told_ns,
        "missing": lost.missing,
        "share": lost.share,
    }


def _answers(answers: HopTally, tally: Tally) -> dict[str, Any]:
    spans = {name: distribution(span) for name, span in answers.histograms.items() if span.count}
    return {
        "count": answers.answered,
        "good": answers.good,
        "degraded": answers.degraded,
        "late": answers.late,
        "goodput": answers.goodput(tally.failed),
        "qualities": most_first(answers.qualities),
        "reasons": most_first(answers.reasons),
        "errors": most_first(answers.errors),
        "pending": answers.pending,
        "unreadable": answers.unreadable,
        "hops": {
            hop: {
                "answers": counts.answers,
                "critical": counts.critical,
                "retried": counts.retried,
                "failed": counts.failed,
                "latency": spans.get(hop),
                **{part: spans.get(f"{hop}.{part}") for part in PARTS},
            }
            for hop, counts in answers.hops.items()
        },
        "spans": {name: span for name, span in spans.items() if name.partition(".")[0] == name},
    }
