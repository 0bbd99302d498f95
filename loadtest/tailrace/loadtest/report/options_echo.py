"""A run's options under ghz's keys, as its JSON repeats them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tailrace.loadtest.options.load_options import LoadOptions, Schedule

# What ghz takes for the number of calls where only the time is bounded.
UNBOUNDED = 2**31 - 1
# A file of data beyond this is not repeated.
_MOST_BYTES = 1 << 20


def options_echo(options: LoadOptions) -> dict[str, Any]:
    """Returns what was asked for, under ghz's keys and in their order.

    Durations are whole nanoseconds, paths are text. What ghz leaves out where it is empty is left
    out. Data and metadata are there if they are JSON before templates are filled.
    """
    told = _target(options) | _rate(options) | _callers(options)
    told |= _present(
        {
            "connections": options.connections,
            "duration": _ns(options.duration),
            "timeout": _ns(options.timeout),
            "dial-timeout": _ns(options.connect_timeout),
            "keepalive": _ns(options.keepalive),
        }
    )
    binary = options.binary or options.binary_file is not None
    data = None if binary else _json(options.data, options.data_file)
    if data is not None:
        told["data"] = data
    told["binary"] = binary
    metadata = _json(options.metadata, options.metadata_file)
    if isinstance(metadata, dict):
        told["metadata"] = metadata
    told["CPUs"] = options.cpus
    told |= _present(
        {
            "name": options.name,
            "skipFirst": options.skip_first,
            "count-errors": options.count_errors,
        }
    )
    return told


def _target(options: LoadOptions) -> dict[str, Any]:
    told = _present(
        {
            "call": options.call,
            "host": options.host,
            "proto": _text(options.proto),
            "protoset": _text(options.protoset),
            "import-paths": _import_paths(options),
            "enable-compression": options.enable_compression,
            "cacert": _text(options.cacert),
            "cert": _text(options.cert),
            "key": _text(options.key),
            "cname": options.cname,
            "skipTLS": options.skip_tls,
        }
    )
    told["insecure"] = options.insecure
    return told | _present({"authority": options.authority})


def _import_paths(options: LoadOptions) -> list[str]:
    given = [str(path) for path in options.import_paths]
    # ghz tells where else it looks, and does so first.
    if options.proto is None:
        return given
    folder = str(options.proto.parent)
    return [*([] if folder == "." else [folder]), ".", *given]


def _rate(options: LoadOptions) -> dict[str, Any]:
    return _present({"rps": _whole(options.rps)}) | {
        "load-schedule": str(options.load_schedule),
        "load-start": _whole(options.load_start),
        "load-end": _whole(options.load_end),
        "load-step": _whole(options.load_step),
        "load-step-duration": _step_ns(options.load_schedule, options.load_step_duration),
        "load-max-duration": _ns(options.load_max_duration),
    }


def _callers(options: LoadOptions) -> dict[str, Any]:
    told = _present({"concurrency": options.concurrency}) | {
        "concurrency-schedule": str(options.concurrency_schedule),
        "concurrency-start": options.concurrency_start,
        "concurrency-end": options.concurrency_end,
        "concurrency-step": options.concurrency_step,
        "concurrency-step-duration": _step_ns(
            options.concurrency_schedule, options.concurrency_step_duration
        ),
        "concurrency-max-duration": _ns(options.concurrency_max_duration),
    }
    total = UNBOUNDED if options.duration > 0 else options.total
    return told | _present({"total": total, "async": options.async_})


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _text(path: Path | None) -> str:
    return str(path) if path else ""


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _step_ns(schedule: Schedule, seconds: float) -> int:
    # A line's step is what a second adds.
    return _ns(1.0 if schedule is Schedule.LINE else seconds)


def _whole(value: float) -> int | float:
    # ghz has whole rates only; ours may be less than one a second.
    return int(value) if value == int(value) else value


def _json(text: str, file: Path | None) -> Any:
    if not text and file is not None:
        # It was read when the run began; that it is gone since is no reason to lose the report.
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return None
        text = file.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        # A template, or nothing; ghz leaves it out, too.
        return None
