"""The records of single calls, as reports list them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import tzinfo

from tailrace.loadtest.measure.details import Detail
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.go_forms import rfc3339_nano


def details_of(result: RunResult) -> Iterator[Detail]:
    """Yields the records of a run, in the order in which calls ended; none if none were kept."""
    if result.details is not None:
        yield from result.details


def json_details(result: RunResult, *, pretty: bool) -> Iterator[str]:
    """Yields the records of a run as JSON objects, one at a time, in ghz's keys.

    `timestamp` is when the call ended, as in ghz; `latency` is in nanoseconds.

    Args:
        result: the run.
        pretty: in lines of their own, as deep as `details` has them; else in one line.
    """
    begin, between, end = ("{\n      ", ",\n      ", "\n    }") if pretty else ("{", ",", "}")
    colon = ": " if pretty else ":"
    head = f'{begin}"timestamp"{colon}"'
    middle = f'"{between}"latency"{colon}'
    timestamps = _Timestamps(result.date.tzinfo)
    # There are few, and they do not change from call to call.
    tails: dict[tuple[str, str], str] = {}
    for detail in details_of(result):
        tail = tails.get((detail.error, detail.status))
        if tail is None:
            error, status = (_text(value) for value in (detail.error, detail.status))
            tail = f'{between}"error"{colon}{error}{between}"status"{colon}{status}{end}'
            tails[detail.error, detail.status] = tail
        ended = timestamps.told(detail.timestamp_ns + detail.latency_ns)
        yield f"{head}{ended}{middle}{detail.latency_ns}{tail}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Timestamps:
    """Tells instants; those of the same second without asking the calendar anew."""

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._second = -1
        self._date, self._offset = "", ""

    def told(self, ns: int) -> str:
        second, fraction = divmod(ns, 1_000_000_000)
        if second != self._second:
            whole = rfc3339_nano(second * 1_000_000_000, self._zone)
            self._second, self._date, self._offset = second, whole[:19], whole[19:]
        if not fraction:
            return self._date + self._offset
        return f"{self._date}.{fraction:09}".rstrip("0") + self._offset
