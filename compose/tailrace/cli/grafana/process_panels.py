"""Panels of processes: what they use, whether they keep up, and what their telemetry drops."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.histogram_panels import percentiles
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.cli.grafana.panel_kinds import Column
from tailrace.runtime import telemetry_names as names

_LEGEND = "{{service}} {{instance}}"


def services(where: str) -> tuple[Panel, ...]:
    """Returns rate, errors and duration of gRPC calls, by service and method.

    Args:
        where: label matchers of the services.
    """
    return (
        panel_kinds.lines(
            "Calls by service and method",
            "gRPC calls that were answered each second.",
            [
                Query(
                    promql.rate(names.CALLS_TOTAL, where, ["service", "method"]),
                    "{{service}} {{method}}",
                )
            ],
            unit="cps",
            width=6,
        ),
        panel_kinds.lines(
            "Calls that failed, by service and code",
            "gRPC calls each second with another status than OK; those that callers cancel count.",
            [
                Query(
                    promql.rate(
                        names.CALLS_TOTAL, f'{where}, code!="OK"', ["service", "method", "code"]
                    ),
                    "{{service}} {{method}} {{code}}",
                )
            ],
            unit="cps",
            width=6,
        ),
        percentiles(
            "Duration of calls, p95",
            "Time until a call is answered, inside the process that answers. Streams count until "
            "they end.",
            names.CALL_SECONDS,
            where,
            by=["service", "method"],
            levels=[0.95],
            width=6,
        ),
        panel_kinds.lines(
            "Calls in flight",
            "Calls that are being answered.",
            [
                Query(
                    promql.total(promql.selector(names.CALLS_IN_FLIGHT, where), ["service"]),
                    "{{service}}",
                )
            ],
            unit="short",
            width=6,
        ),
    )


def processes(where: str) -> tuple[Panel, ...]:
    """Returns event loop, CPU, memory, file descriptors, garbage collection, and versions.

    Args:
        where: label matchers of the services.
    """
    here = f'job="tailrace", {where}'
    collections = promql.rate(
        "python_gc_collections_total", here, ["service", "instance", "generation"]
    )
    return (
        percentiles(
            "Event loop lag, p99",
            "How late the event loop runs what is due. All that a process does waits for it: more "
            "than a few milliseconds is work that belongs into a thread, or too little CPU.",
            names.EVENT_LOOP_LAG_SECONDS,
            where,
            by=["service", "instance"],
            levels=[0.99],
        ),
        panel_kinds.lines(
            "CPU",
            "Cores in use. A process runs Python on one core: near 1 it is at its limit.",
            [
                Query(
                    promql.rate("process_cpu_seconds_total", here, ["service", "instance"]), _LEGEND
                )
            ],
            unit="short",
        ),
        panel_kinds.lines(
            "Memory",
            "Resident memory. It settles; a line that keeps rising is a leak.",
            [Query(promql.selector("process_resident_memory_bytes", here), _LEGEND)],
            unit="bytes",
        ),
        panel_kinds.lines(
            "File descriptors in use",
            "Share of the descriptors that the process may open: sockets, mostly.",
            [
                Query(
                    promql.share(
                        promql.selector("process_open_fds", here),
                        promql.selector("process_max_fds", here),
                    ),
                    _LEGEND,
                )
            ],
            unit="percentunit",
        ),
        panel_kinds.lines(
            "Garbage collections",
            "Runs each second by generation. Those of generation 2 stop the process for longest.",
            [Query(collections, f"{_LEGEND} {{{{generation}}}}")],
            unit="ops",
        ),
        panel_kinds.table(
            "Versions",
            "What runs, and for how long. Two versions of one service: a rollout is under way.",
            {
                "service": "Service",
                "instance": "Instance",
                "version": "Version",
                "environment": "Environment",
            },
            (Column("Up for", _up_for(where), "s"),),
            width=8,
        ),
    )


def telemetry(where: str) -> tuple[Panel, ...]:
    """Returns what telemetry costs nothing for: spans and log lines that are dropped, scrapes.

    Args:
        where: label matchers of the services.
    """
    return (
        panel_kinds.lines(
            "Spans",
            "Spans each second by what became of them. Dropped: the buffer was full, as the "
            "collector is slow or away. Requests are never held up by either.",
            [
                Query(
                    promql.rate(names.SPANS_TOTAL, where, ["service", "outcome"]),
                    "{{service}} {{outcome}}",
                )
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Log lines dropped",
            "Lines each second that an output was too slow to take.",
            [
                Query(
                    promql.rate(names.LOG_LINES_DROPPED_TOTAL, where, ["service", "output"]),
                    "{{service}} {{output}}",
                )
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Duration of scrapes",
            "Time that Prometheus takes to read the metrics of a process.",
            [Query("scrape_duration_seconds", "{{job}} {{service}} {{instance}}")],
            unit="s",
        ),
    )


def _up_for(where: str) -> str:
    info = promql.selector(names.BUILD_INFO, where)
    start = promql.selector("process_start_time_seconds", f'job="tailrace", {where}')
    return f"(time() - {start}) * on (instance) group_right (service) {info}"
