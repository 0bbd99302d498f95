"""The dashboard of features: how fresh they are, what the cache does, how events arrive."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.dashboard import Dashboard, Row, query_variable
from tailrace.cli.grafana.histogram_panels import percentiles, spread
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.cli.grafana.redis_panels import redis_servers
from tailrace.runtime import telemetry_names as names

_VIEW = 'view=~"$view"'


def features() -> Dashboard:
    """Returns the dashboard of features."""
    return Dashboard(
        uid="tailrace-features",
        title="Tailrace: features",
        description="Whether features are fresh, missing or stale, what the cache does, and "
        "whether events reach lookups.",
        rows=(
            Row("At first sight", _first_sight()),
            Row("Lookups", _lookups()),
            Row("Cache", _cache()),
            Row("Events", _events()),
            Row("Redis", redis_servers()),
        ),
        variables=(query_variable("view", "View", names.FEATURE_ROWS_TOTAL),),
    )


def _first_sight() -> tuple[Panel, ...]:
    rows = promql.rate(names.FEATURE_ROWS_TOTAL, _VIEW)
    found = promql.rate(names.FEATURE_CACHE_HITS_TOTAL)
    asked = f"({found} + {promql.rate(names.FEATURE_CACHE_MISSES_TOTAL)})"
    return (
        panel_kinds.tile("Rows", "Rows looked up each second, each in one view.", rows, unit="ops"),
        *(
            panel_kinds.tile(
                state.capitalize(),
                description,
                promql.share(
                    promql.total(
                        promql.or_zero(
                            promql.rate(names.FEATURE_ROWS_TOTAL, f'{_VIEW}, state="{state}"')
                        )
                    ),
                    rows,
                ),
                unit="percentunit",
                bad_from=bad_from,
            )
            for state, description, bad_from in (
                ("fresh", "Share of rows that are within the age their view allows.", None),
                ("stale", "Share of rows that are older than their view allows.", (0.01, 0.1)),
                ("missing", "Share of rows whose entity the store does not know.", (0.05, 0.25)),
            )
        ),
        panel_kinds.tile(
            "Cache hits",
            "Share of keys that the cache of the feature service had.",
            promql.share(found, asked),
            unit="percentunit",
        ),
        panel_kinds.tile(
            "Event lag, p99",
            "From when an event became known until lookups see it.",
            promql.quantile(0.99, names.EVENT_LAG_SECONDS),
            unit="s",
        ),
    )


def _lookups() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Rows by state",
            "Looked-up rows each second: fresh, older than the view allows (stale), unknown "
            "(missing), or of an instant that is no longer kept (not_kept).",
            [
                Query(
                    promql.rate(names.FEATURE_ROWS_TOTAL, _VIEW, ["view", "state"]),
                    "{{view}} {{state}}",
                )
            ],
            unit="ops",
        ),
        spread(
            "Age of features",
            "How old the looked-up rows were: the darker, the more. A band that climbs is a load "
            "that has not run, or events that do not come.",
            names.FEATURE_AGE_SECONDS,
            _VIEW,
            width=8,
        ),
        percentiles(
            "Age by view",
            "How old the looked-up rows were.",
            names.FEATURE_AGE_SECONDS,
            _VIEW,
            by=["view"],
            levels=[0.5, 0.99],
        ),
        panel_kinds.lines(
            "Empty values by view",
            "Values each second that were looked up and are null.",
            [Query(promql.rate(names.FEATURE_NULLS_TOTAL, _VIEW, ["view"]), "{{view}}")],
            unit="ops",
            width=12,
        ),
        panel_kinds.lines(
            "Lookups: time of the hop",
            "Time that requests spend in the features hop, of all pipelines.",
            [
                Query(
                    promql.quantile(level, names.HOP_SECONDS, 'hop="features"'), f"p{100 * level:g}"
                )
                for level in (0.5, 0.95, 0.99)
            ],
            unit="s",
            width=12,
        ),
    )


def _cache() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Hits and misses",
            "Keys each second that the cache had, and that were read from Redis.",
            [
                Query(promql.rate(names.FEATURE_CACHE_HITS_TOTAL), "hits"),
                Query(promql.rate(names.FEATURE_CACHE_MISSES_TOTAL), "misses"),
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Entries that leave",
            "Entries each second that were removed because Redis told of a change "
            "(invalidations), or to make room (evictions: the cache is too small).",
            [
                Query(promql.rate(names.FEATURE_CACHE_INVALIDATIONS_TOTAL), "invalidations"),
                Query(promql.rate(names.FEATURE_CACHE_EVICTIONS_TOTAL), "evictions"),
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Size",
            "Bytes that the entries of a process's cache count for.",
            [Query(names.FEATURE_CACHE_BYTES, "{{service}} {{instance}}")],
            unit="bytes",
            width=4,
        ),
        panel_kinds.lines(
            "Entries",
            "Entries of a process's cache.",
            [Query(names.FEATURE_CACHE_ENTRIES, "{{service}} {{instance}}")],
            unit="short",
            width=4,
        ),
    )


def _events() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Events by outcome",
            "Events each second: accepted, duplicate, late, too far in the future, or invalid.",
            [
                Query(
                    promql.rate(names.EVENTS_TOTAL, by=["event", "outcome"]),
                    "{{event}} {{outcome}}",
                )
            ],
            unit="ops",
        ),
        spread(
            "Lag",
            "From when an event became known until lookups see it: the darker, the more.",
            names.EVENT_LAG_SECONDS,
            width=8,
        ),
        percentiles(
            "Lag by event",
            "From when an event became known until lookups see it.",
            names.EVENT_LAG_SECONDS,
            by=["event"],
        ),
        panel_kinds.lines(
            "Late events and duplicates",
            "Share of events that came after their window was closed, or again.",
            [
                Query(
                    promql.share(
                        promql.rate(
                            names.EVENTS_TOTAL,
                            'outcome=~"late|duplicate"',
                            ["event", "outcome"],
                        ),
                        promql.rate(names.EVENTS_TOTAL, by=["event"]),
                        on="event",
                    ),
                    "{{event}} {{outcome}}",
                )
            ],
            unit="percentunit",
            width=6,
        ),
        panel_kinds.lines(
            "Updates of views",
            "Updates each second by what became of them.",
            [
                Query(
                    promql.rate(names.EVENT_UPDATES_TOTAL, by=["view", "outcome"]),
                    "{{view}} {{outcome}}",
                )
            ],
            unit="ops",
            width=6,
        ),
        percentiles(
            "Time in the store",
            "Time of one group of updates in Redis.",
            names.EVENT_APPLY_SECONDS,
            by=["view"],
            levels=[0.5, 0.99],
            width=6,
        ),
        panel_kinds.lines(
            "Batches, streams and partitions",
            "Batches without an answer, entries of Redis streams each second, and partitions "
            "that are read.",
            [
                Query(promql.total(names.EVENT_BATCHES_IN_PROGRESS), "batches in progress"),
                Query(
                    promql.rate(names.EVENT_STREAM_ENTRIES_TOTAL, by=["outcome"]),
                    "entries {{outcome}} each second",
                ),
                Query(promql.total(names.EVENT_PARTITIONS_HELD), "partitions"),
            ],
            unit="short",
            width=6,
        ),
    )
