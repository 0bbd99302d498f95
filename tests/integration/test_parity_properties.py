"""Serving and training give one answer, whatever the view and whatever the events."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.history.engine import EngineOptions
from tailrace.features.history.training_set import EventFile, ViewAt, training_set
from tailrace.runtime.pipeline.directory import load_views
from tests.support.parity.cases import EVENT, VIEW, Case, cases
from tests.support.parity.compare import compare
from tests.support.parity.online_engine import online_engine, write_files
from tests.support.parity.replay import Replayed, replay

# A sum's rounding errors are relative to its terms, not to what is left of them.
_ROUNDING = 1e-12


async def _serve(case: Case, pipelines: Path, url: str) -> Replayed:
    async with online_engine(pipelines, url, f"parity-{uuid.uuid4().hex}") as engine:
        return await replay(engine, {EVENT: case.events}, case.instants)


@pytest.mark.timeout(300)
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    # To make a failing case small takes minutes; then add Phase.shrink and raise the time limit.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=cases())
def test_what_is_served_is_what_is_trained_on(case: Case, redis_server: LocalRedis) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipelines = write_files(Path(folder), [case.event], [case.view])
        files = load_views(pipelines.parent / "features")
        assert not files.errors, files.errors
        view = files.views[VIEW]
        trained = training_set(
            [ViewAt(view, EventFile(files.events[EVENT], case.events))],
            case.instants,
            options=EngineOptions(threads=1),
        )
        served = uvloop.run(_serve(case, pipelines, redis_server.url))
    found = compare([view], served.columns, trained.table, _ROUNDING * max(1.0, case.greatest))
    assert not found.different, "\n".join(found.mismatches)
    assert found.values == (len(view.features) + 1) * case.instants.num_rows
    outcomes = trained.report.views[VIEW]
    assert (served.duplicates) == outcomes.duplicates
    assert served.refused == outcomes.late + sum(trained.report.events[EVENT].refused.values())
