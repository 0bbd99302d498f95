"""Metrics of the event service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tailrace.runtime import telemetry_names as names

EVENTS = Counter(
    names.EVENTS_TOTAL,
    "Events by what became of them: accepted, duplicate, late, future, invalid, or refused by "
    "every view for another reason.",
    ["event", "outcome"],
)
UPDATES = Counter(
    names.EVENT_UPDATES_TOTAL,
    "Updates of views by what became of them: applied, duplicate, late, failed.",
    ["view", "outcome"],
)
APPLY_SECONDS = Histogram(
    names.EVENT_APPLY_SECONDS,
    "Time of one group of updates in the store.",
    ["view"],
    buckets=names.LATENCY_BUCKETS_S,
)
BATCHES_IN_PROGRESS = Gauge(names.EVENT_BATCHES_IN_PROGRESS, "Batches without an answer.")
LAG_SECONDS = Histogram(
    names.EVENT_LAG_SECONDS,
    "Time from when an event became known until lookups see it.",
    ["event"],
    buckets=names.DELIVERY_BUCKETS_S,
)
STREAM_ENTRIES = Counter(
    names.EVENT_STREAM_ENTRIES_TOTAL,
    "Entries of Redis streams by what became of them: taken, dead.",
    ["outcome"],
)
PARTITIONS_HELD = Gauge(names.EVENT_PARTITIONS_HELD, "Partitions that this process reads.")
