"""The engine makes as many calls as it is told, no matter how they are dealt out."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.loadtest.measure.run_result import EndReason
from tailrace.loadtest.options.load_options import Schedule
from tests.support.engine_runs import loaded
from tests.support.load_servers import LoadServer, StartLoadServer

_KINDS: dict[str, dict[str, Any]] = {
    "Echo": {"data": '{"text": "a"}'},
    "Collect": {"data": '[{"text": "a"}, {"text": "b"}, {"text": "c"}]'},
    "Repeat": {"data": '{"answers": 3}'},
    "Chat": {"data": '[{"text": "a"}, {"text": "b"}, {"text": "c"}]'},
}
_ANSWERS = {"Echo": 1, "Collect": 1, "Repeat": 3, "Chat": 3}


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("method", list(_KINDS))
async def test_the_server_has_each_call_once(
    load_server: LoadServer, method: str, cpus: int
) -> None:
    before = load_server.seen()
    result = await loaded(
        load_server, method, total=151, cpus=cpus, concurrency=7, **_KINDS[method]
    )
    after = load_server.seen()

    assert after.calls - before.calls == 151
    assert after.cancelled == before.cancelled
    assert result.tally.statuses == {"OK": 151}
    assert (result.tally.started, result.tally.ended, result.tally.skipped) == (151, 151, 0)
    assert result.tally.responses == 151 * _ANSWERS[method]
    assert [each.ended for each in result.processes] == ([151] if cpus == 1 else [76, 75])
    assert (result.end_reason, result.tally.errors) == (EndReason.NORMAL, {})
    # By time, each call is kept once.
    assert sum(each.ended for each in result.tally.slices.slices) == 151
    assert all(bool(each.slices.slices) is (cpus == 1) for each in result.processes)


@pytest.mark.parametrize(
    "way",
    [
        {"rps": 1000},
        {"rps": 1000, "async_": True},
        {"async_": True},
        {"load_schedule": Schedule.STEP, "load_start": 500, "load_step": 500, "async_": True,
         "load_step_duration": 0.05},
        {"concurrency_schedule": Schedule.STEP, "concurrency_start": 2, "concurrency_step": 2,
         "concurrency_step_duration": 0.02, "concurrency_end": 8},
        {"concurrency_schedule": Schedule.STEP, "concurrency_start": 6, "concurrency_step": -2,
         "concurrency_step_duration": 0.02, "concurrency_end": 2},
        {"rps": 1000, "concurrency_schedule": Schedule.STEP, "concurrency_start": 6,
         "concurrency_step": -2, "concurrency_step_duration": 0.02, "concurrency_end": 2},
    ],
)  # fmt: skip
async def test_all_calls_are_made_in_each_way(load_server: LoadServer, way: dict[str, Any]) -> None:
    before = load_server.seen().calls
    result = await loaded(
        load_server, total=201, cpus=1 + ("rps" in way), **{"concurrency": 5, **way}
    )

    assert load_server.seen().calls - before == 201
    assert result.tally.statuses == {"OK": 201}
    assert result.corrected_differs == (result.options.rps > 0 or "load_schedule" in way)


async def test_first_calls_do_not_count(load_server: LoadServer) -> None:
    before = load_server.seen().calls
    result = await loaded(load_server, total=100, skip_first=30, cpus=2)

    assert load_server.seen().calls - before == 100
    assert (result.tally.ended, result.tally.skipped) == (70, 30)


async def test_callers_are_never_more_than_said(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    result = await loaded(server, total=60, concurrency=5, cpus=2, data='{"delay_ms": 10}')

    assert server.seen().most_at_a_time == 5
    assert [each.max_in_flight for each in result.processes] == [3, 2]


async def test_an_open_loop_does_not_wait_for_answers(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    result = await loaded(
        server, total=40, rps=400, async_=True, concurrency=1, data='{"delay_ms": 300}'
    )

    # The first answer comes after the last call was due.
    assert server.seen().most_at_a_time == 40
    assert result.tally.max_in_flight == 40


async def test_an_open_loop_has_a_bound(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    result = await loaded(
        server, total=30, rps=400, async_=True, max_in_flight=10, data='{"delay_ms": 100}'
    )

    assert server.seen().most_at_a_time == 10
    assert "10 calls were in flight" in result.limit.why
    # What had to wait for room was late, but not for the generator's sake.
    assert 10 <= result.tally.lag.count < 30
    assert result.tally.corrected.count == 30
    assert result.tally.corrected.maximum_ns > result.tally.uncorrected.maximum_ns


async def test_connections_are_dealt_out(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    await loaded(server, total=100, concurrency=10, connections=4, cpus=2)

    assert len(server.seen().peers) == 4
