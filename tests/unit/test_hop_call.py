"""What a hop tells of the calls that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.runtime import hop_call
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.errors import DeadlineExceeded, TailraceError, Unavailable
from tailrace.runtime.hop_call import HopRunner
from tests.support.hop_server import hop_batch

ROWS = 3
Work = Callable[[Any, Any], Awaitable[Any]]


class _Context:
    """The part of a servicer context that is read."""

    def time_remaining(self) -> float | None:
        return None


class _Registry:
    """A registry with one pipeline, or one that is still without it."""

    def __init__(self, error: TailraceError | None = None) -> None:
        self._error = error

    async def find_for_hop(self, name: str, version: str) -> str:
        if self._error is not None:
            raise self._error
        return "compiled"


async def _run(work: Work, registry: Any = None, remaining_ms: int = 60_000) -> None:
    registry = registry or _Registry()
    runner: Any = HopRunner("ingest", registry, ServerSettings())
    batch = hop_batch(ROWS, remaining_us=[remaining_ms * 1_000] * ROWS)
    await runner.run(batch, _Context(), work)


async def _never(batch: Any, compiled: Any) -> None:
    await asyncio.Event().wait()


def _told(lines: list[MutableMapping[str, Any]]) -> list[tuple[Any, Any]]:
    failures = [line for line in lines if line["event"] == "hop failed"]
    return [(line[names.REQUEST_ID], line[names.ERROR_CODE]) for line in failures]


def _for_all(code: str) -> list[tuple[str, str]]:
    return [(f"request-{row}", code) for row in range(ROWS)]


def _failures(reason: str) -> float:
    labels = {"hop": "ingest", "reason": reason}
    return REGISTRY.get_sample_value(names.ROW_FAILURES_TOTAL, labels) or 0


async def test_a_deadline_that_passes_during_the_work_is_told_of_every_row() -> None:
    before = _failures("DEADLINE_EXCEEDED")
    with capture_logs() as lines, pytest.raises(DeadlineExceeded, match="during ingest"):
        await _run(_never, remaining_ms=20)
    assert _told(lines) == _for_all("DEADLINE_EXCEEDED")
    assert _failures("DEADLINE_EXCEEDED") - before == ROWS


async def test_a_caller_who_goes_away_is_told_of_every_row() -> None:
    entered = asyncio.Event()

    async def work(batch: Any, compiled: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    with capture_logs() as lines:
        call = asyncio.create_task(_run(work))
        await entered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert _told(lines) == _for_all("CANCELLED")


async def test_a_version_that_is_not_here_is_told_of_every_row() -> None:
    registry = _Registry(Unavailable("not yet"))
    with capture_logs() as lines, pytest.raises(Unavailable):
        await _run(_never, registry)
    assert _told(lines) == _for_all("UNAVAILABLE")


async def test_rows_beyond_the_bound_cost_no_fields_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def may_tell(reason: str) -> bool:
        asked.append(reason)
        return len(asked) == 1

    read: list[TailraceError] = []

    def fields(error: TailraceError) -> dict[str, str]:
        read.append(error)
        return {}

    monkeypatch.setattr(hop_call, "may_tell_failure", may_tell)
    monkeypatch.setattr(hop_call, "failure_fields", fields)
    before = _failures("DEADLINE_EXCEEDED")
    with capture_logs() as lines, pytest.raises(DeadlineExceeded):
        await _run(_never, remaining_ms=20)
    assert asked == ["DEADLINE_EXCEEDED"] * ROWS
    assert len(read) == 1
    assert [line["event"] for line in lines] == ["hop failed"]
    assert _failures("DEADLINE_EXCEEDED") - before == ROWS
