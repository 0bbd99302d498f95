"""Processes that make load, and the one that watches them, are killed in the middle of a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import Format
from tailrace.loadtest.run import run_load
from tests.support.engine_runs import load_options, loaded
from tests.support.load_servers import LoadServer, StartLoadServer
from tests.support.start_process import StartProcess
from tests.support.waiting import is_gone, wait_for

_COMMAND = [
    *(sys.executable, "-m", "tailrace.loadtest", "--insecure", "--progress=off"),
    *("--call", "test.load.EchoService/Echo"),
]


def _load_processes(parent: int) -> list[int]:
    name = "tailrace.loadtest.engine.worker"
    children = psutil.Process(parent).children()
    return [each.pid for each in children if name in " ".join(each.cmdline())]


def _kills(place: int) -> tuple[list[int], Callable[[Tally, float], None]]:
    """Returns who was killed, and what kills a process once calls were told of."""
    killed: list[int] = []

    def on_progress(tally: Tally, seconds: float) -> None:
        if tally.ended and not killed:
            killed.append(_load_processes(os.getpid())[place])
            os.kill(killed[0], signal.SIGKILL)

    return killed, on_progress


async def _run_with_a_loss(server: LoadServer, **options: Any) -> RunResult:
    killed, on_progress = _kills(1)
    result = await loaded(server, on_progress=on_progress, cpus=2, **options)

    assert result.end_reason is EndReason.LOST
    (lost,) = result.lost
    assert lost.name == f"load process 2 of 2 (pid {killed[0]})"
    assert (lost.how, lost.why) == ("was killed by SIGKILL", "the machine may be out of memory")
    whole, (other, gone) = result.tally, result.processes
    assert 0 < lost.told_ns == gone.wall_ns < lost.ended_ns
    # The other went on to its end, and nothing of the one that is gone is made up.
    assert other.started == other.ended > 0
    assert whole.ended == other.ended + gone.ended
    assert whole.started - whole.ended == whole.unknown == gone.started - gone.ended
    assert (whole.lost, gone.lost, other.lost) == (1, 1, 0)
    assert not _load_processes(os.getpid())
    return result


async def test_callers_who_were_lost_are_told_by_their_time(load_server: LoadServer) -> None:
    result = await _run_with_a_loss(
        load_server, duration=1.2, concurrency=6, data='{"delay_ms": 5}', format=Format.JSON
    )

    (lost,) = result.lost
    # Half of the callers, from when they were heard of last.
    assert lost.missing is None
    assert lost.share == pytest.approx((1.2 - lost.told_ns / 1e9) / 2 / 1.2)
    assert result.tally.unknown <= 3
    # What is listed is what is counted.
    assert result.details is not None
    assert len(list(result.details)) == result.tally.ended


async def test_calls_with_a_rate_that_were_lost_are_counted(load_server: LoadServer) -> None:
    result = await _run_with_a_loss(load_server, total=300, concurrency=4, rps=250)

    (lost,) = result.lost
    assert lost.missing == 300 - result.tally.ended > 0
    assert lost.share == lost.missing / 300
    assert "the callers were all busy" not in result.limit.why


async def test_calls_of_an_open_loop_that_were_lost_are_counted(load_server: LoadServer) -> None:
    result = await _run_with_a_loss(load_server, duration=1.2, rps=200, async_=True)

    (lost,) = result.lost
    # The 240th is due at the end itself.
    assert lost.missing is not None
    assert lost.missing == 239 - result.tally.ended > 0
    assert f"missing: {lost.missing} calls, {lost.share:.1%} of the load" in lost.text


async def test_a_run_that_loses_its_only_process_tells_what_it_was_told(
    load_server: LoadServer,
) -> None:
    _, on_progress = _kills(0)
    result = await loaded(load_server, on_progress=on_progress, duration=60, concurrency=3)

    assert (result.end_reason, len(result.lost)) == (EndReason.LOST, 1)
    assert result.tally.ended > 0
    assert result.lost[0].share > 0.9


async def test_a_run_that_is_interrupted_lacks_what_was_asked_until_then(
    load_server: LoadServer,
) -> None:
    killed, kill = _kills(1)
    interrupt = asyncio.Event()

    def on_progress(tally: Tally, seconds: float) -> None:
        kill(tally, seconds)
        if tally.lost and seconds > 0.7:
            interrupt.set()

    options = load_options(load_server.target, duration=60, rps=200, async_=True, cpus=2)
    running = asyncio.create_task(run_load(options, on_progress))
    await asyncio.wait_for(interrupt.wait(), 20)
    running.cancel()
    result = await running

    assert (result.end_reason, len(result.lost), len(killed)) == (EndReason.CANCEL, 1, 1)
    # Of 60 seconds, it would be nearly half.
    assert result.lost[0].missing is not None
    assert 0 < result.lost[0].missing < 3000


async def test_a_process_that_dies_before_the_load_ends_the_run(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()
    server.freeze()
    running = asyncio.create_task(loaded(server, cpus=2, connect_timeout=60))
    await asyncio.to_thread(wait_for, lambda: len(_load_processes(os.getpid())) == 2, 30)
    victim = _load_processes(os.getpid())[1]
    os.kill(victim, signal.SIGKILL)

    with pytest.raises(LoadError) as error:
        await running
    assert error.value.problem == f"load process 2 of 2 (pid {victim}) was killed by SIGKILL"
    assert not _load_processes(os.getpid())


def _command_with_a_loss(
    start_process: StartProcess, server: LoadServer, folder: Path, *flags: str
) -> tuple[int, list[str]]:
    """Runs a command of which one of two processes is killed; returns status and complaints."""
    before = server.seen().calls
    process = start_process(
        [*_COMMAND, "--cpus=2", "-c4", "-z1200ms", *flags, server.target],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: server.seen().calls > before + 20, timeout_s=30)
    os.kill(_load_processes(process.pid)[1], signal.SIGKILL)
    _, complaints = process.communicate(timeout=60)
    return process.returncode, complaints.splitlines()


def test_no_objective_is_reached_and_files_say_why(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path
) -> None:
    flags = ("-r200", "--async", "--slo=p99<1h", "-Ojson", "-oreport", "--hgrm=hgrm")
    status, complaints = _command_with_a_loss(start_process, load_server, tmp_path, *flags)

    assert status == 3
    assert complaints[0].startswith("error: load process 2 of 2 (pid ")
    assert any(line.startswith("FAILED: p99<1h: not measured") for line in complaints)
    report = json.loads((tmp_path / "report").read_text())
    (lost,) = report["tailrace"]["lost"]
    assert (report["endReason"], lost["how"]) == ("lost", "was killed by SIGKILL")
    assert lost["missing"] + report["count"] == 239
    assert len(report["details"]) == report["count"]
    assert not report["tailrace"]["verdicts"][0]["passed"]
    assert (tmp_path / "hgrm").read_text().splitlines()[-1].startswith(f"# {lost['process']} was")

    # Nor is it a yardstick for others.
    later = subprocess.run(
        [*_COMMAND, "--baseline=report", load_server.target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (later.returncode, later.stdout) == (2, "")
    assert "the baseline report is of a run that lost load processes" in later.stderr


def test_nothing_is_left_of_a_command_that_is_killed(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path
) -> None:
    before = load_server.seen().calls
    process = start_process(
        [*_COMMAND, "--cpus=2", "-c4", "-z10m", "--binary", "-Ojson", load_server.target],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(b"\x0a\x02hi")
    process.stdin.close()
    wait_for(lambda: load_server.seen().calls > before + 20, timeout_s=30)
    processes = _load_processes(process.pid)
    process.kill()
    process.wait(30)

    assert len(processes) == 2
    wait_for(lambda: all(map(is_gone, processes)))
    assert list(tmp_path.iterdir()) == []
