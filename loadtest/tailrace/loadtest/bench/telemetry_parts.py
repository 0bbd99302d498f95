"""What each part of telemetry takes of one request, measured by itself within one process.

Counting cannot be switched off, so no comparison of two meshes shows it; and what is 10 µs of a
request is lost in the noise of whole processes.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from prometheus_client import REGISTRY

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.convoy_spans import ConvoySpans
from tailrace.gateway.hop_account import HopAccount
from tailrace.gateway.outcome_counts import OutcomeCounts
from tailrace.gateway.outcome_line import tell_answer
from tailrace.gateway.request_spans import RequestSpans
from tailrace.loadtest.bench.plain_chain.flight_row import PIPELINE
from tailrace.loadtest.bench.spread import Spread
from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.deadline import NS_PER_MS, NS_PER_US
from tailrace.runtime.exposition import expose
from tailrace.runtime.logs import configure_logs, sampled
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.placement import HOPS
from tailrace.runtime.tracing.otlp_http import span_message
from tailrace.runtime.tracing.span import Span
from tailrace.runtime.tracing.trace_context import TRACEPARENT, new_trace
from tailrace.runtime.tracing.tracing import Tracing
from tailrace.v1 import batch_pb2, prediction_service_pb2

_REPEATS = 9
_SLICE_S = 0.02
# Few enough that nothing of them is dropped.
_LINES = 500
_CROWD = 64
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class _Kept:
    """Keeps spans. A `SpanSink`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def put(self, span: Span) -> None:
        """Takes a span."""
        self.spans.append(span)


def measure_parts(pipelines_dir: Path) -> dict[str, Spread]:
    """Returns the CPU time of each part, in microseconds per request or as it says, by what it is.

    Args:
        pipelines_dir: folder of the example's pipelines.
    """
    pipeline = load_directory(pipelines_dir).pipelines[PIPELINE]
    return {
        **_traces_for_everyone(pipeline),
        **_spans(pipeline),
        **_counting(pipeline),
        **_lines(pipeline),
    }


def _traces_for_everyone(pipeline: Pipeline) -> dict[str, Spread]:
    quiet = Tracing()
    begin, headers = quiet.begin, {TRACEPARENT: new_trace(sampled=True).traceparent}
    alone, crowd = _convoy(pipeline, 1), _convoy(pipeline, _CROWD)

    def header(convoy: Convoy) -> None:
        convoy.write_header(batch_pb2.Batch(), range(len(convoy.rows)))

    def places(convoy: Convoy) -> None:
        [row.trace.traceparent for row in convoy.rows]

    return {
        "a place in a new trace": measured(lambda: begin({})),
        "a place below a caller's": measured(lambda: begin(headers)),
        "the batch headers of four hops, alone": measured(lambda: header(alone), 4),
        "of which the places of rows": measured(lambda: places(alone), 4),
        f"the batch headers of four hops, in a convoy of {_CROWD}": measured(
            lambda: header(crowd), 4 / _CROWD
        ),
        "of which the places of rows, too": measured(lambda: places(crowd), 4 / _CROWD),
    }


def _spans(pipeline: Pipeline) -> dict[str, Spread]:
    kept = _Kept()
    tracing = Tracing(kept, sample_rate=1.0)
    requests, convoys = RequestSpans(tracing), ConvoySpans(tracing, pipeline)
    convoy = _convoy(pipeline, 1, sampled=True)
    outside = _convoy(pipeline, 1)
    outside.rows[0].trace.sampled = False
    answer = _answer(convoy)

    def tell() -> None:
        kept.spans.clear()
        convoys.departs(convoy)
        convoy.ledger_attributes = None
        requests.take(convoy.rows[0], answer)
        convoys.ended(convoy)

    def pass_over() -> None:
        convoys.departs(outside)
        requests.take(outside.rows[0], answer)
        convoys.ended(outside)

    tell()
    spans = list(kept.spans)
    return {
        "outside the sample": measured(pass_over),
        f"the {len(spans)} spans of a gateway, in the sample": measured(tell),
        "these as messages, in the exporter's thread": measured(
            lambda: [span_message(span, 0) for span in spans]
        ),
    }


def _counting(pipeline: Pipeline) -> dict[str, Spread]:
    outcomes = OutcomeCounts()
    accounts = [HopAccount(pipeline, hop) for hop in HOPS]
    found = {}
    for count, name in ((1, "alone"), (_CROWD, f"in a convoy of {_CROWD}")):
        convoy = _convoy(pipeline, count)
        answer = _answer(convoy)
        rows = list(range(count))

        def take(
            convoy: Convoy = convoy,
            answer: prediction_service_pb2.PredictResponse = answer,
            rows: list[int] = rows,
        ) -> None:
            for account, spending in zip(accounts, convoy.book.spent, strict=True):
                account.ended(spending, convoy, rows)
            for row in convoy.rows:
                outcomes.take(row, answer, False)

        found[f"counting a request and its four hop calls, {name}"] = measured(take, 1 / count)
    found["writing all metrics of this process, per scrape"] = measured(
        lambda: expose(REGISTRY, _OPENMETRICS, "gzip")
    )
    return found


def _lines(pipeline: Pipeline) -> dict[str, Spread]:
    convoy = _convoy(pipeline, 1)
    row, answer = convoy.rows[0], _answer(convoy)

    def tell() -> None:
        for _ in range(_LINES):
            tell_answer(row, answer)

    figures = []
    for _ in range(_REPEATS):
        logs = configure_logs(ProcessSettings(log_file=Path(os.devnull)), "bench")
        # All of the process: the thread that writes is part of it, and is done when it is closed.
        begun_ns = time.process_time_ns()
        tell()
        logs.close()
        figures.append((time.process_time_ns() - begun_ns) / _LINES / NS_PER_US)
    return {
        "outside the sample of lines": measured(lambda: sampled(row.request_id, 0.0)),
        "the line of a request, its writing included": Spread.of(figures),
    }


def measured(work: Callable[[], object], share: float = 1.0) -> Spread:
    """Returns the CPU time of this thread that some work takes, in microseconds.

    Args:
        work: done again and again.
        share: how much of it counts.
    """
    figures = []
    for _ in range(_REPEATS):
        done, begun_ns = 0, time.thread_time_ns()
        while (taken_ns := time.thread_time_ns() - begun_ns) < _SLICE_S * 1e9:
            # So many that the clock itself is not what is measured.
            for _ in range(20):
                work()
            done += 20
        figures.append(taken_ns / done / NS_PER_US * share)
    return Spread.of(figures)


def _convoy(pipeline: Pipeline, rows: int, *, sampled: bool = False) -> Convoy:
    now_ns = time.monotonic_ns()
    granted_ns = 10_000_000 * NS_PER_MS
    convoy = Convoy(
        pipeline,
        [
            ConvoyRow(
                pipeline=pipeline.name,
                request_id=f"{random.getrandbits(128):032x}",
                fields={},
                deadline_ns=now_ns + granted_ns,
                granted_ns=granted_ns,
                received_ns=now_ns,
                trace=replace(new_trace(sampled)),
            )
            for _ in range(rows)
        ],
    )
    for group, hop in enumerate(HOPS):
        spending = convoy.book.open(hop, time.monotonic_ns(), group, rows)
        spending.attempts, spending.budget_ns = 1, granted_ns
        spending.finish(queue_ns=1, work_ns=1)
    convoy.prediction_rows = list(range(rows))
    convoy.ended_ns = time.monotonic_ns()
    for row in convoy.rows:
        row.holder = _In(convoy)
    return convoy


class _In:
    """What rows are in. A `Holder`."""

    def __init__(self, convoy: Convoy) -> None:
        self.convoy: Convoy | None = convoy

    def row_left(self, row: ConvoyRow) -> None:
        """Notes nothing: none leaves."""


def _answer(convoy: Convoy) -> prediction_service_pb2.PredictResponse:
    answer = prediction_service_pb2.PredictResponse(
        pipeline=convoy.pipeline.name,
        pipeline_version=convoy.pipeline.version,
        quality=prediction_service_pb2.QUALITY_LIVE,
    )
    answer.ledger.entries.extend(convoy.book.entries(convoy.departed_ns))
    answer.ledger.convoy_rows = len(convoy.rows)
    return answer
