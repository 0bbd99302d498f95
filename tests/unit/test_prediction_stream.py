"""A stream whose caller does not read, on a simulated clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.prediction_stream import PredictionStream
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import DeadlineExceeded, LimitExceeded, Reason, Unavailable
from tailrace.runtime.patient_writer import PatientWriter
from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline
from tests.unit.test_convoy_former import BOUNDS

SETTINGS = GatewaySettings(stream_max_unanswered=16, stream_idle_timeout_ms=2000)


def _one_pipeline(folder: Path) -> OnePipeline:
    world = SimulatedChain(lambda hop, rows: (0.01, None))
    return OnePipeline(ConvoyFormer(world.chain(written_pipeline(folder)), BOUNDS))


class _Caller:
    """Asks without end, four at a time, and takes as many answers as it is told to."""

    def __init__(self, folder: Path, takes: int) -> None:
        registry: Any = _one_pipeline(folder)
        self.former = registry.former
        self.draining = asyncio.Event()
        self.asked = 0
        self.taken: list[int] = []
        self._takes = takes
        self.stream = PredictionStream(
            Predictor(registry, SETTINGS),
            SETTINGS,
            {},
            self.read,
            PatientWriter(self.write, SETTINGS.stream_idle_timeout_ms / 1000).write,
            lambda: None,
            self.draining,
        )

    async def read(self) -> messages.PredictStreamRequest:
        self.asked += 4
        request = messages.PredictRequest(pipeline="under-test")
        request.fields["x"].double_value = 1.0
        return messages.PredictStreamRequest(requests=[request] * 4)

    async def write(self, reply: messages.PredictStreamResponse) -> None:
        if len(self.taken) >= self._takes:
            await asyncio.Event().wait()
        self.taken += [result.place for result in reply.results]


@pytest.mark.parametrize("takes", [0, 1, 100])
def test_a_caller_who_takes_no_more_is_read_no_further_and_let_go(
    tmp_path: Path, takes: int
) -> None:
    async def run() -> _Caller:
        caller = _Caller(tmp_path, takes)
        with pytest.raises(DeadlineExceeded, match="nothing was taken"):
            await caller.stream.run()
        await asyncio.sleep(1)
        return caller

    caller = run_virtually(run())
    assert len(set(caller.taken)) == len(caller.taken)
    unanswered = caller.asked - len(caller.taken)
    assert unanswered <= SETTINGS.stream_max_unanswered + 4
    # What was asked and cannot be answered any more keeps nothing busy.
    assert caller.former.idle


def test_a_caller_who_takes_everything_is_served_without_end(tmp_path: Path) -> None:
    async def run() -> _Caller:
        caller = _Caller(tmp_path, 10**9)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await caller.stream.run()
        await asyncio.sleep(1)
        return caller

    caller = run_virtually(run())
    assert sorted(caller.taken) == list(range(len(caller.taken)))
    assert len(caller.taken) > 500
    assert caller.former.idle


def test_a_message_of_far_too_many_requests_ends_the_stream(tmp_path: Path) -> None:
    async def run() -> _Caller:
        caller = _Caller(tmp_path, 10**9)
        most = SETTINGS.max_batch_rows + SETTINGS.stream_max_unanswered
        messages_to_come = [
            messages.PredictStreamRequest(requests=[messages.PredictRequest()] * count)
            for count in (most + 1, most)
        ]

        async def read() -> messages.PredictStreamRequest:
            return messages_to_come.pop()

        caller.stream._read = read
        with pytest.raises(LimitExceeded, match=f"{most + 1} requests"):
            await caller.stream.run()
        return caller

    # Those of the first message are each refused for themselves.
    caller = run_virtually(run())
    assert len(caller.taken) == SETTINGS.max_batch_rows + SETTINGS.stream_max_unanswered


def test_a_stream_ends_when_the_process_is_to_end_and_all_is_answered(tmp_path: Path) -> None:
    async def run() -> _Caller:
        caller = _Caller(tmp_path, 10**9)
        asyncio.get_running_loop().call_later(0.5, caller.draining.set)
        with pytest.raises(Unavailable) as caught:
            await caller.stream.run()
        assert caught.value.reason is Reason.DRAINING
        return caller

    caller = run_virtually(run())
    assert sorted(caller.taken) == list(range(caller.asked))
    assert caller.former.idle
