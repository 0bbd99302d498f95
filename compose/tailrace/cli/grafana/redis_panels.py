"""Panels of Redis, as `redis_exporter` tells of it.

Source of the names: https://github.com/oliver006/redis_exporter.
"""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.panel import Panel, Query

_HERE = 'job="redis"'


def redis_servers() -> tuple[Panel, ...]:
    """Returns commands, memory, clients and slow commands of each Redis."""
    return (
        panel_kinds.lines(
            "Redis: commands",
            "Commands each second, by server.",
            [
                Query(
                    promql.rate("redis_commands_processed_total", _HERE, ["service", "instance"]),
                    "{{service}} {{instance}}",
                )
            ],
            unit="ops",
            width=6,
        ),
        panel_kinds.lines(
            "Redis: memory",
            "Memory in use, and the most that the server may use, where there is a bound.",
            [
                Query(promql.selector("redis_memory_used_bytes", _HERE), "{{instance}}"),
                Query(
                    promql.selector("redis_memory_max_bytes", _HERE) + " > 0", "{{instance}} bound"
                ),
            ],
            unit="bytes",
            width=6,
        ),
        panel_kinds.lines(
            "Redis: mean time of a command",
            "Time inside the server, by command; scripts are those of windows and queue.",
            [
                Query(
                    promql.share(
                        promql.rate(
                            "redis_commands_duration_seconds_total", _HERE, ["instance", "cmd"]
                        ),
                        promql.rate("redis_commands_total", _HERE, ["instance", "cmd"]),
                    ),
                    "{{instance}} {{cmd}}",
                )
            ],
            unit="s",
            width=6,
        ),
        panel_kinds.lines(
            "Redis: clients and evicted keys",
            "Connections, and keys each second that were removed for want of memory: any is a "
            "fault, as neither features nor submissions may be lost.",
            [
                Query(promql.selector("redis_connected_clients", _HERE), "{{instance}} clients"),
                Query(
                    promql.rate("redis_evicted_keys_total", _HERE, ["instance"]),
                    "{{instance}} evicted each second",
                ),
            ],
            unit="short",
            width=6,
        ),
    )
