"""A server that stops for a second mid-run: who shows it, and who does not."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tailrace.loadtest.measure.latency_histogram import LatencyHistogram, bucket_start
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import DurationStop
from tests.support.engine_runs import loaded
from tests.support.load_servers import LoadServer, StartLoadServer

_MS = 1_000_000
_FROZEN_S = 1.0


class _Frost:
    """Freezes a server once, for a second, some time after the first calls."""

    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self._thaw: threading.Timer | None = None

    def on_progress(self, tally: Tally, seconds: float) -> None:
        if self._thaw is None and seconds > 0.4 and tally.ended:
            self._server.freeze()
            self._thaw = threading.Timer(_FROZEN_S, self._server.thaw)
            self._thaw.start()

    def over(self) -> None:
        assert self._thaw is not None, "the run was over before the server could be frozen"
        self._thaw.join()


async def _frozen(server: LoadServer, **changes: Any) -> RunResult:
    frost = _Frost(server)
    result = await loaded(
        server,
        on_progress=frost.on_progress,
        rps=200,
        duration=2.0,
        duration_stop=DurationStop.WAIT,
        **changes,
    )
    frost.over()
    return result


def _above(histogram: LatencyHistogram, latency_ms: float) -> int:
    """Returns how many latencies are above one, in milliseconds."""
    places, counts = histogram.filled()
    return sum(
        int(count)
        for place, count in zip(places, counts, strict=True)
        if bucket_start(int(place)) > latency_ms * _MS
    )


@pytest.mark.alone
async def test_an_open_loop_shows_the_whole_second(start_load_server: StartLoadServer) -> None:
    result = await _frozen(start_load_server(), async_=True, cpus=2)

    # 399 calls were due, 200 of them in that second: half of these waited for half of it or more.
    assert result.tally.statuses == {"OK": 399}
    assert 60 <= _above(result.tally.corrected, 500) <= 200
    assert 800 * _MS < result.tally.corrected.percentile(99) < 3000 * _MS


@pytest.mark.alone
async def test_callers_who_wait_hide_it_but_for_the_corrected_latency(
    start_load_server: StartLoadServer,
) -> None:
    result = await _frozen(start_load_server(), concurrency=2)

    # The same calls. Only those that the two callers had in flight took long once they were sent.
    assert result.tally.statuses == {"OK": 399}
    assert _above(result.tally.uncorrected, 500) <= 2
    assert result.tally.uncorrected.percentile(99) < 500 * _MS
    assert 60 <= _above(result.tally.corrected, 500) <= 200
    assert 800 * _MS < result.tally.corrected.percentile(99) < 3000 * _MS
    # That they were sent late was not the generator's doing.
    assert _above(result.tally.lag, 500) == 0
