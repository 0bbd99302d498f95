"""Every metric of the project: its kind, its labels with their values, and which processes have it.

What it means and its buckets are said where it is counted. `docs/metrics.md` puts the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tailrace.runtime import telemetry_names as names

Kind = Literal["counter", "gauge", "histogram"]

HOP_SERVICES = ("ingest", "features", "inference", "postprocess")
SERVICES = ("gateway", *HOP_SERVICES, "dispatcher", "courier", "events")
# Both send requests through the hops.
_CHAIN = ("gateway", "dispatcher")

_HOPS = "`ingest`, `features`, `inference`, `postprocess`"
_CODES = "names of gRPC codes"
_REASONS = "names of `tailrace.v1.Reason`"

LABEL_VALUES: Mapping[str, str] = {
    "code": f"{_CODES}, at most 17",
    "environment": "one, as the setting says",
    "event": "the event types that are declared, and `_OTHER` for all that are not",
    "hop": _HOPS,
    "method": "the registered gRPC methods, as `package.Service/Method`",
    "model": "the models of the loaded pipelines",
    "partition": "numbers of the queue's partitions",
    "pipeline": "the pipelines that this process has loaded since it began",
    "reason": _REASONS,
    "service": "one, the process's own",
    "version": "one",
    "view": "the views of the loaded pipelines",
}
"""Where the values of a label come from, for every metric that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """One metric.

    Attributes:
        name: with its unit, and `_total` for a counter.
        kind: what it is.
        processes: which processes have it, by service. A hop that is placed in a gateway or a
            dispatcher counts there.
        labels: names of its labels, in order.
        values: where the values of a label come from, where it is not as in `LABEL_VALUES`.
        more_bounds: the objectives that are bounds of a histogram, too; empty for none.
    """

    name: str
    kind: Kind
    processes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    more_bounds: str = ""

    @property
    def series_names(self) -> tuple[str, ...]:
        """The names under which a server stores it."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))


def _counter(name: str, processes: tuple[str, ...], *labels: str, **values: str) -> MetricEntry:
    return MetricEntry(name, "counter", processes, labels, values)


def _gauge(name: str, processes: tuple[str, ...], *labels: str, **values: str) -> MetricEntry:
    return MetricEntry(name, "gauge", processes, labels, values)


def _histogram(
    name: str, processes: tuple[str, ...], *labels: str, more_bounds: str = "", **values: str
) -> MetricEntry:
    return MetricEntry(name, "histogram", processes, labels, values, more_bounds)


_QUEUE_HOP = f"{_HOPS}; `queue` for those that had not departed"
_DEGRADED = "`stale`, `missing`, `not_kept`, or, if the features failed, the " + _REASONS
_PUSHED = "pipelines of submissions, which were loaded when they were submitted"

CATALOGUE: tuple[MetricEntry, ...] = (
    # Every process.
    _gauge(names.BUILD_INFO, SERVICES, "service", "version", "environment"),
    _histogram(names.EVENT_LOOP_LAG_SECONDS, SERVICES),
    _counter(names.CALLS_TOTAL, SERVICES, "method", "code"),
    _histogram(names.CALL_SECONDS, SERVICES, "method"),
    _gauge(names.CALLS_IN_FLIGHT, SERVICES),
    _counter(
        names.LOG_LINES_DROPPED_TOTAL, SERVICES, "output", output="the outputs of the log: few"
    ),
    _counter(names.SPANS_TOTAL, SERVICES, "outcome", outcome="`sent`, `dropped`, `failed`"),
    # Requests.
    _counter(
        names.PREDICTIONS_TOTAL, _CHAIN, "pipeline", "outcome",
        pipeline=LABEL_VALUES["pipeline"] + "; `_OTHER` for requests for any other",
        outcome=f"{_CODES}, `OK` for answers",
    ),
    _histogram(
        names.PREDICTION_SECONDS, _CHAIN, "pipeline", "outcome",
        more_bounds="latency of the whole",
        pipeline=LABEL_VALUES["pipeline"] + "; `_OTHER` for requests for any other",
        outcome="`ok`, `error`",
    ),
    _counter(
        names.DEGRADED_TOTAL, _CHAIN, "pipeline", "quality", "reason",
        quality="names of `tailrace.v1.Quality` but `LIVE`", reason=_DEGRADED,
    ),
    _histogram(names.CONVOY_ROWS, _CHAIN, "pipeline"),
    _histogram(names.CONVOY_WAIT_SECONDS, _CHAIN, "pipeline"),
    _gauge(names.CONVOYS_IN_FLIGHT, _CHAIN, "pipeline"),
    _gauge(names.QUEUED_ROWS, _CHAIN, "pipeline"),
    _counter(
        names.REFUSED_TOTAL, _CHAIN, "pipeline", "reason", reason="`QUEUE_FULL`, `QUEUE_TOO_LONG`"
    ),
    # Hops, as those see them who call them.
    _histogram(names.HOP_SECONDS, _CHAIN, "pipeline", "hop", more_bounds="latency of that hop"),
    _histogram(names.HOP_QUEUE_SECONDS, _CHAIN, "pipeline", "hop"),
    _histogram(names.HOP_NETWORK_SECONDS, _CHAIN, "pipeline", "hop"),
    _histogram(names.HOP_WORK_SECONDS, _CHAIN, "pipeline", "hop"),
    _histogram(names.HOP_BUDGET_SECONDS, _CHAIN, "pipeline", "hop"),
    _histogram(names.HOP_BUDGET_SPENT_RATIO, _CHAIN, "pipeline", "hop"),
    _counter(names.HOP_ATTEMPTS_TOTAL, _CHAIN, "pipeline", "hop"),
    _counter(names.HOP_FAILURES_TOTAL, _CHAIN, "pipeline", "hop", "reason"),
    _counter(names.DEADLINE_MISSES_TOTAL, _CHAIN, "pipeline", "hop", hop=_QUEUE_HOP),
    # Inside the hops.
    _counter(names.ROW_FAILURES_TOTAL, HOP_SERVICES, "hop", "reason"),
    _counter(
        names.FEATURE_ROWS_TOTAL, ("features",), "pipeline", "view", "state",
        state="`fresh`, `stale`, `missing`, `expired`, `not_kept`, `not_loaded`, `corrupt`",
    ),
    _counter(names.FEATURE_NULLS_TOTAL, ("features",), "pipeline", "view"),
    _histogram(names.FEATURE_AGE_SECONDS, ("features",), "view"),
    _counter(names.FEATURE_CACHE_HITS_TOTAL, ("features",)),
    _counter(names.FEATURE_CACHE_MISSES_TOTAL, ("features",)),
    _counter(names.FEATURE_CACHE_INVALIDATIONS_TOTAL, ("features",)),
    _counter(names.FEATURE_CACHE_EVICTIONS_TOTAL, ("features",)),
    _gauge(names.FEATURE_CACHE_BYTES, ("features",)),
    _gauge(names.FEATURE_CACHE_ENTRIES, ("features",)),
    _histogram(names.MODEL_CALL_SECONDS, ("inference",), "model", "code"),
    _gauge(names.MODEL_READY, ("inference",), "model"),
    # Events.
    _counter(
        names.EVENTS_TOTAL, ("events",), "event", "outcome",
        outcome="`accepted`, `duplicate`, `late`, `future`, `invalid`, `refused`",
    ),
    _counter(
        names.EVENT_UPDATES_TOTAL, ("events",), "view", "outcome",
        outcome="`applied`, `duplicate`, `late`, `failed`",
    ),
    _histogram(names.EVENT_APPLY_SECONDS, ("events",), "view"),
    _gauge(names.EVENT_BATCHES_IN_PROGRESS, ("events",)),
    _histogram(names.EVENT_LAG_SECONDS, ("events",), "event"),
    _counter(
        names.EVENT_STREAM_ENTRIES_TOTAL, ("events",), "outcome", outcome="`taken`, `dead`"
    ),
    _gauge(names.EVENT_PARTITIONS_HELD, ("events",)),
    # Submissions.
    _counter(
        names.SUBMISSIONS_TOTAL, ("gateway",), "pipeline", "outcome",
        pipeline=LABEL_VALUES["pipeline"] + "; `_OTHER` for submissions for any other",
        outcome=f"{_CODES}, `OK`, `ALREADY_SUBMITTED`",
    ),
    _histogram(names.SUBMISSION_ACKNOWLEDGE_SECONDS, ("gateway",)),
    _histogram(names.SUBMISSION_GROUP_ROWS, ("gateway",)),
    _gauge(names.WATCHES, ("gateway",)),
    _counter(names.DISPATCHER_CLAIMS_TOTAL, ("dispatcher",)),
    _counter(
        names.DISPATCHER_RESULTS_TOTAL, ("dispatcher",), "state", state="`SUCCEEDED`, `FAILED`"
    ),
    _counter(
        names.DISPATCHER_POSTPONED_TOTAL, ("dispatcher",), "reason",
        reason=f"{_REASONS}; `NOT_RUN` for what was given back unused",
    ),
    _counter(names.DISPATCHER_FENCED_TOTAL, ("dispatcher",)),
    _histogram(names.DISPATCHER_BATCH_ROWS, ("dispatcher",)),
    _gauge(names.DISPATCHER_BATCHES_IN_FLIGHT, ("dispatcher",)),
    _gauge(names.DISPATCHER_BATCHES_LIMIT, ("dispatcher",)),
    _gauge(names.DISPATCHER_BATCH_ROWS_LIMIT, ("dispatcher",)),
    _gauge(names.DISPATCHER_BREAKER_OPEN, ("dispatcher",)),
    _gauge(
        names.QUEUE_SUBMISSIONS, ("dispatcher",), "partition", "state",
        state="names of `tailrace.v1.PredictionState`; `DEAD` for dead letters",
    ),
    _gauge(names.QUEUE_OLDEST_SECONDS, ("dispatcher",), "partition"),
    # Deliveries.
    _counter(
        names.COURIER_ATTEMPTS_TOTAL, ("courier",), "result",
        result=f"`HTTP 2xx` and so on, `gRPC` and one of the {_CODES}, or why none came: "
        "`TIMEOUT`, `CONNECT_ERROR` and a few more",
    ),
    _histogram(names.COURIER_MESSAGE_SECONDS, ("courier",)),
    _histogram(names.COURIER_MESSAGE_ROWS, ("courier",)),
    _gauge(names.COURIER_MESSAGES_IN_FLIGHT, ("courier",)),
    _counter(names.COURIER_DELIVERED_TOTAL, ("courier",)),
    _counter(
        names.COURIER_DEAD_TOTAL, ("courier",), "reason",
        reason="`ATTEMPTS_EXHAUSTED`, `CALLBACK_DISABLED`, `CALLBACK_DELETED`, `POISON`",
    ),
    _counter(names.COURIER_FENCED_TOTAL, ("courier",)),
    _histogram(
        names.COURIER_DELIVERY_SECONDS, ("courier",), "pipeline",
        more_bounds="delivery", pipeline=_PUSHED,
    ),
    _gauge(
        names.COURIER_BREAKERS, ("courier",), "state", state="`closed`, `open`, `probing`"
    ),
    _gauge(names.COURIER_UNWRITTEN, ("courier",)),
    _counter(names.COURIER_PUBLISHED_TOTAL, ("courier",)),
    _gauge(names.QUEUE_DELIVERIES, ("courier",), "partition"),
    _gauge(names.QUEUE_DUE_SECONDS, ("courier",), "partition"),
    # What prometheus_client tells of every process.
    _gauge("process_virtual_memory_bytes", SERVICES),
    _gauge("process_resident_memory_bytes", SERVICES),
    _gauge("process_start_time_seconds", SERVICES),
    _counter("process_cpu_seconds_total", SERVICES),
    _gauge("process_open_fds", SERVICES),
    _gauge("process_max_fds", SERVICES),
    _gauge(
        "python_info", SERVICES, "implementation", "major", "minor", "patchlevel", "version",
        implementation="one", major="one", minor="one", patchlevel="one",
    ),
    _counter("python_gc_objects_collected_total", SERVICES, "generation", generation="0, 1, 2"),
    _counter(
        "python_gc_objects_uncollectable_total", SERVICES, "generation", generation="0, 1, 2"
    ),
    _counter("python_gc_collections_total", SERVICES, "generation", generation="0, 1, 2"),
)  # fmt: skip


def known_series() -> frozenset[str]:
    """Returns the names of all series that queries may ask for."""
    return frozenset(name for entry in CATALOGUE for name in entry.series_names)
