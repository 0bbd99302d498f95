"""Claims that run together, with a queue and simulated hops."""

from __future__ import annotations

from pathlib import Path

from tailrace.dispatcher.claimed_batch import BatchParts, ClaimedBatch
from tailrace.dispatcher.result_writer import ResultWriter
from tailrace.dispatcher.suspects import Suspects
from tailrace.dispatcher.verdicts import Verdicts
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import State
from tests.support.requests import predict_request
from tests.support.simulated_hops import SimulatedChain
from tests.support.submission_gateway import BOUNDS, PIPELINE
from tests.support.submissions import new_submission, stored
from tests.support.written_pipeline import write_pipeline


def _parts(queue: Queue, world: SimulatedChain, folder: Path) -> BatchParts:
    registry = PipelineRegistry(
        write_pipeline(folder), lambda pipeline: ConvoyFormer(world.chain(pipeline), BOUNDS)
    )
    registry.load()
    return BatchParts(
        registry=registry,
        account=OutcomeAccount(0.0),
        verdicts=Verdicts(3, Suspects()),
        writer=ResultWriter(queue.submissions),
        connected=lambda: True,
        deadline_ms=None,
    )


async def test_what_is_lost_before_its_turn_does_not_run(queue: Queue, tmp_path: Path) -> None:
    world = SimulatedChain(lambda hop, rows: (0.0, None))
    requests = [
        predict_request(PIPELINE, {"x": 1.0}, request_id=name).SerializeToString()
        for name in ("lost", "kept")
    ]
    new = [new_submission(request=request) for request in requests]
    await queue.submissions.submit(0, new)
    claims = await queue.submissions.claim(0, 2)
    batch = ClaimedBatch(0, claims, _parts(queue, world, tmp_path), alone=True)
    batch.lose(frozenset({new[0].prediction_id}))
    await batch.run()
    assert [call.request_ids for call in world.calls("ingest")] == [["kept"]]
    assert (await stored(queue, new[0].prediction_id)).state is State.RUNNING
    assert (await stored(queue, new[1].prediction_id)).state is State.SUCCEEDED
