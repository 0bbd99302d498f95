"""How a run ends: by time, by an interrupt, by a server or a process that dies."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace

import psutil
import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import DurationStop, Format, Schedule
from tailrace.loadtest.run import run_load
from tests.support.engine_runs import load_options, loaded
from tests.support.load_servers import LoadServer, StartLoadServer
from tests.support.waiting import wait_for

_SLOW = '{"delay_ms": 200}'


def _load_processes(parent: int) -> list[int]:
    name = "tailrace.loadtest.engine.worker"
    children = psutil.Process(parent).children()
    return [each.pid for each in children if name in " ".join(each.cmdline())]


async def test_a_process_that_is_stopped_for_a_while_is_told(load_server: LoadServer) -> None:
    stopped: list[psutil.Process] = []

    def stop(tally: Tally, seconds: float) -> None:
        if not stopped and tally.ended:
            stopped.extend(map(psutil.Process, _load_processes(os.getpid())))
            stopped[0].suspend()
            threading.Timer(0.5, stopped[0].resume).start()

    # A caller's latency shows it in one call only, and there is no lag without a rate.
    result = await loaded(
        load_server, duration=1.5, concurrency=1, duration_stop=DurationStop.WAIT, on_progress=stop
    )

    assert result.tally.lag.count == 0
    assert result.tally.away_ns > 400_000_000
    assert "answers may have waited for its process" in result.limit.why


@pytest.mark.parametrize("cpus", [1, 2])
async def test_calls_in_flight_at_the_end_are_closed(load_server: LoadServer, cpus: int) -> None:
    result = await loaded(load_server, duration=0.5, concurrency=6, cpus=cpus, data=_SLOW)

    # Twelve ended in time, or a few less on a slow machine; each caller had one in flight.
    assert result.tally.statuses["Unavailable"] == 6
    assert result.tally.statuses["OK"] == result.tally.ended - 6 > 0
    assert result.tally.ended == result.tally.started
    assert result.end_reason is EndReason.TIMEOUT


async def test_calls_in_flight_at_the_end_are_waited_for(load_server: LoadServer) -> None:
    result = await loaded(
        load_server, duration=0.5, concurrency=6, data=_SLOW, duration_stop=DurationStop.WAIT
    )

    assert result.tally.statuses == {"OK": result.tally.started}
    # A call that was under way at the end took until after it.
    assert result.duration_ns > 500_000_000


async def test_calls_in_flight_at_the_end_do_not_count(load_server: LoadServer) -> None:
    result = await loaded(
        load_server, duration=0.5, concurrency=6, data=_SLOW, duration_stop=DurationStop.IGNORE
    )

    assert result.tally.skipped == 6
    assert result.tally.statuses == {"OK": result.tally.started - 6}
    # They had their time all the same: it was no shorter run for their sake.
    assert result.duration_ns >= 500_000_000


async def test_a_server_that_stops_answering_makes_no_run_shorter(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()

    def on_progress(tally: Tally, seconds: float) -> None:
        if tally.ended and seconds < 1.2:
            server.freeze()
            threading.Timer(1.5, server.thaw).start()

    result = await loaded(
        server,
        duration=1.2,
        skip_first=1,
        duration_stop=DurationStop.IGNORE,
        on_progress=on_progress,
    )

    assert result.tally.skipped == 51
    # The first call was skipped a moment after the start.
    assert result.duration_ns > 1_000_000_000


async def test_a_run_with_a_longest_time_may_end_before(load_server: LoadServer) -> None:
    done = await loaded(load_server, total=20, max_duration=30)
    cut = await loaded(load_server, total=1000, max_duration=0.3, concurrency=2, data=_SLOW)

    assert (done.end_reason, done.tally.ended) == (EndReason.NORMAL, 20)
    assert cut.end_reason is EndReason.TIMEOUT
    assert 0 < cut.tally.ended < 1000


async def test_calls_of_an_open_loop_are_those_that_were_due(load_server: LoadServer) -> None:
    result = await loaded(
        load_server, duration=0.5, rps=200, async_=True, cpus=2, duration_stop=DurationStop.WAIT
    )

    # The hundredth is due at the end itself.
    assert result.tally.statuses == {"OK": 99}


async def test_the_interval_before_the_first_call_is_part_of_the_run(
    load_server: LoadServer,
) -> None:
    result = await loaded(load_server, total=5, rps=20, async_=True)

    # Five intervals, and the last call.
    assert result.tally.ended == 5
    assert result.rps < 20


async def test_a_rate_that_comes_to_nothing_ends_a_run(load_server: LoadServer) -> None:
    result = await loaded(
        load_server,
        total=1000,
        load_schedule=Schedule.STEP,
        load_start=200,
        load_step=-100,
        load_step_duration=0.1,
    )

    assert (result.tally.ended, result.end_reason) == (30, EndReason.NORMAL)


async def test_an_interrupted_run_tells_what_it_did(load_server: LoadServer) -> None:
    begun = asyncio.Event()

    def on_progress(tally: Tally, seconds: float) -> None:
        if tally.ended:
            begun.set()

    options = load_options(load_server.target, duration=60, concurrency=3, cpus=2)
    running = asyncio.create_task(run_load(options, on_progress))
    await asyncio.wait_for(begun.wait(), 20)
    running.cancel()
    result = await running

    assert result.end_reason is EndReason.CANCEL
    assert result.tally.ended == result.tally.started > 0
    assert not _load_processes(os.getpid())


async def test_a_run_that_is_interrupted_before_its_first_call_has_no_result(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()
    server.freeze()
    running = asyncio.create_task(loaded(server, proto=None))
    await asyncio.to_thread(wait_for, lambda: bool(_load_processes(os.getpid())))
    running.cancel()
    server.thaw()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert not _load_processes(os.getpid())


async def test_a_server_that_dies_gives_errors(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    dying = asyncio.Event()

    def on_progress(tally: Tally, seconds: float) -> None:
        if tally.ended and not dying.is_set():
            dying.set()
            server.kill()

    result = await loaded(
        server, on_progress=on_progress, duration=1.5, rps=200, async_=True, cpus=2, timeout=0.2
    )

    assert result.tally.ended == result.tally.started == 299
    assert result.tally.statuses["OK"] > 0
    assert result.tally.statuses["Unavailable"] > 0
    assert set(result.tally.statuses) <= {"OK", "Unavailable", "DeadlineExceeded"}
    assert sum(result.tally.errors.values()) == result.tally.failed


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": '{"texx": 1}'}, "texx"),
        ({"data": "{"}, "data"),
        ({"host": "127.0.0.1:1"}, "127.0.0.1:1"),
    ],
)
async def test_what_the_user_has_to_change_is_told(
    load_server: LoadServer, changes: dict[str, str], problem: str
) -> None:
    before = load_server.seen().calls
    with pytest.raises(LoadError, match=problem):
        await run_load(replace(load_options(load_server.target, cpus=2), **changes))  # type: ignore[arg-type]
    assert load_server.seen().calls == before


async def test_a_record_of_each_call_is_kept_for_reports_that_list_them(
    load_server: LoadServer,
) -> None:
    result: RunResult = await loaded(load_server, total=50, cpus=2, format=Format.JSON)
    assert result.details is not None
    details = list(result.details)
    result.details.close()

    assert len(details) == 50
    ends = [each.timestamp_ns + each.latency_ns for each in details]
    assert ends == sorted(ends)


async def test_a_failure_of_whoever_is_told_is_no_secret(load_server: LoadServer) -> None:
    def on_progress(tally: Tally, seconds: float) -> None:
        raise OSError("no terminal any more")

    with pytest.raises(OSError, match="no terminal any more"):
        await loaded(load_server, on_progress=on_progress, duration=0.6)
