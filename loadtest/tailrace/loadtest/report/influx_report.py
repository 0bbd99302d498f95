"""A run, or its calls, as lines for InfluxDB, with ghz's tags and fields."""

from __future__ import annotations

import json
from typing import Any, TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.load_options import Schedule
from tailrace.loadtest.report.detail_rows import details_of
from tailrace.loadtest.report.figures import Figures, figures
from tailrace.loadtest.report.go_forms import duration, unix_ns
from tailrace.loadtest.report.options_echo import options_echo


def write_influx_summary(result: RunResult, file: TextIO) -> None:
    """Writes one line, `ghz_run`, at the instant when the run ended."""
    told = figures(result)
    tags = [
        *_tags(result),
        f"errors={told.error_count}",
        f"has_errors={_bool(told.error_count > 0)}",
    ]
    file.write(f"ghz_run,{','.join(tags)} {_fields(told)} {unix_ns(told.date)}\n")


def write_influx_details(result: RunResult, file: TextIO) -> None:
    """Writes a line per call, `ghz_detail`, at the instant when it ended."""
    tags = ",".join(_tags(result))
    for detail in details_of(result):
        failed = _bool(bool(detail.error))
        error = _clean(detail.error.replace("\\", r"\\").replace('"', r"\""))
        fields = f'latency={detail.latency_ns},error="{error}",status="{detail.status}"'
        ended = detail.timestamp_ns + detail.latency_ns
        file.write(f"ghz_detail,{tags},hasError={failed} {fields} {ended}\n")


def _tags(result: RunResult) -> list[str]:
    options = result.options
    echo = options_echo(options)
    tags = [f'name="{_clean(options.name.strip())}"'] if options.name else []
    if options.proto:
        tags.append(f'proto="{_clean(str(options.proto))}"')
    elif options.protoset:
        # The capital letter is ghz's.
        tags.append(f'Protoset="{_clean(str(options.protoset))}"')
    tags += [f'call="{options.call}"', f'host="{options.host}"', f"n={echo.get('total', 0)}"]
    if options.concurrency_schedule is Schedule.CONST:
        tags.append(f"c={options.concurrency}")
    else:
        tags += _schedule("concurrency", ("start", "end", "step"), echo)
    if options.load_schedule is Schedule.CONST:
        tags.append(f"rps={echo.get('rps', 0)}")
    else:
        tags += _schedule("load", ("start", "end", "step"), echo)
    return [
        *tags,
        f"z={echo.get('duration', 0)}",
        f"timeout={options.timeout:g}",
        f"dial_timeout={options.connect_timeout:g}",
        f"keepalive={options.keepalive:g}",
        # JSON inside a JSON string; `null` where there are no data.
        f"data={_nested(echo.get('data'))}",
        f"metadata={_nested(echo['metadata']) if 'metadata' in echo else _EMPTY}",
        f"tags={_nested(options.tags) if options.tags else _EMPTY}",
    ]


_EMPTY = '""'


def _schedule(name: str, steps: tuple[str, ...], echo: dict[str, Any]) -> list[str]:
    tags = [f"{name}-schedule={echo[f'{name}-schedule']}"]
    tags += [f"{name}-{step}={echo[f'{name}-{step}']}" for step in steps]
    for length in ("step-duration", "max-duration"):
        tags.append(f"{name}-{length}={duration(echo[f'{name}-{length}'] / 1e9)}")
    return tags


def _fields(told: Figures) -> str:
    fields = {
        "count": told.count,
        "total": told.total_ns,
        "average": told.average_ns,
        "fastest": told.fastest_ns,
        "slowest": told.slowest_ns,
        "rps": f"{told.rps:.2f}",
    }
    if told.distribution:
        fields |= {"median": told.distribution[50], "p95": told.distribution[95]}
    fields["errors"] = told.error_count
    return ",".join(f"{name}={value}" for name, value in fields.items())


def _nested(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _clean(json.dumps(text, ensure_ascii=False))


def _clean(text: str) -> str:
    # A line of the protocol ends with the line, whatever is quoted.
    text = text.replace("\n", " ").replace("\r", " ")
    return text.replace(" ", r"\ ").replace(",", r"\,").replace("=", r"\=")


def _bool(value: bool) -> str:
    return "true" if value else "false"
