"""Receivers of spans, log shippers, disks and scrapers that hang, refuse or are full.

One mesh, of which every prediction is traced and told. While they are broken, the gateway's
receiver of spans hangs, as does everybody's Logstash; that of features answers 503, that of
inference refuses connections; nobody reads standard output, and ingest's disk is full.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.log_writer import QUEUE_BYTES
from tests.support.deaf_mesh import PIPED, QUEUE_SPANS, DeafMesh, deaf_mesh
from tests.support.waiting import wait_for

MIB = 1024 * 1024
# Two outputs with 8 MiB of lines each, a thousand spans, and what batches of 250 rows leave behind.
MOST_GROWTH = 96 * MIB
# Of a gateway's lines, 8 MiB are about 3,200.
ENOUGH = 4_000
BATCH_SPANS = 512
PIPE_BYTES = 64 * 1024
# What is told while the queue empties: how many lines are missing, that spans are sent again.
LATER_BYTES = 10_000
# A batch of spans that hangs is given up after a second, and so is the pause after it.
SETTLES_S = 30.0
GRACE_S = 15.0


@pytest.fixture(scope="module")
def shared_mesh(
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: LocalRedis,
    triton_server: LocalTriton,
) -> Iterator[DeafMesh]:
    with deaf_mesh(tmp_path_factory.mktemp("deaf"), redis_server, triton_server) as mesh:
        yield mesh


@pytest.fixture
def mesh(shared_mesh: DeafMesh) -> Iterator[DeafMesh]:
    """The mesh of this module, up, with everything taken before and after."""
    shared_mesh.mend_all()
    shared_mesh.restart_ended()
    yield shared_mesh
    shared_mesh.mend_all()


def spans_told(mesh: DeafMesh) -> dict[str, float]:
    """Returns how many spans processes have had to tell, by what the gateway has counted."""
    predictions = mesh.metric("gateway", f"{names.PREDICTION_SECONDS}_count")
    convoys = mesh.metric("gateway", f"{names.CONVOY_ROWS}_count")
    # Each request, its convoy, and four hops of that.
    return {"gateway": predictions + 5 * convoys, "ingest": convoys, "postprocess": convoys}


def spans_over(mesh: DeafMesh) -> dict[str, float]:
    return {name: mesh.spans_over(name) for name in ("gateway", "ingest", "postprocess")}


def test_all_are_answered_while_nothing_is_taken_and_what_is_lost_is_counted(
    mesh: DeafMesh,
) -> None:
    mesh.predict(250)
    wait_for(lambda: spans_over(mesh) == spans_told(mesh), SETTLES_S)
    mesh.collect()
    sent_before = mesh.spans_sent("gateway")
    resident = mesh.resident_bytes()

    mesh.break_all()
    mesh.predict(ENOUGH)
    for name, now in mesh.resident_bytes().items():
        assert now - resident[name] < MOST_GROWTH, name
    assert mesh.dropped_lines("gateway", "stdout") > 0
    assert mesh.dropped_lines("ingest", "file") >= ENOUGH
    assert mesh.count("gateway", names.SPANS_TOTAL, outcome="dropped") > 0
    assert mesh.spans_sent("gateway") == sent_before
    read = {name: len(told) for name, told in mesh.told.items()}

    mesh.mend_all()
    wait_for(lambda: spans_over(mesh) == spans_told(mesh), SETTLES_S)
    # What waited, and what was under way.
    assert mesh.spans_sent("gateway") - sent_before <= QUEUE_SPANS + BATCH_SPANS
    mesh.collect()
    for name in PIPED:
        kept = len(mesh.told[name]) - read[name]
        assert kept <= QUEUE_BYTES + PIPE_BYTES + LATER_BYTES, name

    # With the next line, each output says how many are missing.
    mesh.predict(250)
    wait_for(mesh.settled, SETTLES_S)
    wait_for(lambda: spans_over(mesh) == spans_told(mesh), SETTLES_S)
    for name in ("gateway", "ingest", "postprocess"):
        assert mesh.spans_sent(name) == mesh.received(mesh.receiver, name)
    assert mesh.spans_sent("gateway") - sent_before >= 250

    def features_are_settled() -> bool:
        received = mesh.received(mesh.unavailable, "features")
        return mesh.spans_sent("features") == received > 0

    wait_for(features_are_settled, SETTLES_S)
    assert mesh.spans_sent("inference") == 0
    assert mesh.spans_over("inference") > 0


def test_scrapers_that_never_read_hold_up_neither_predictions_nor_later_scrapes(
    mesh: DeafMesh,
) -> None:
    mesh.crowd_scrapers()
    mesh.predict(500)
    mesh.leave_scrapers()
    assert mesh.metric("gateway", f"{names.PREDICTION_SECONDS}_count") >= 500


def test_every_process_ends_in_its_grace_while_nothing_is_taken(mesh: DeafMesh) -> None:
    mesh.break_all()
    mesh.predict(500)
    mesh.crowd_scrapers()
    for process in mesh.processes.values():
        process.process.signal(signal.SIGTERM)
    for name, process in mesh.processes.items():
        assert process.process.wait(GRACE_S) == 0, name
