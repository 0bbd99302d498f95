"""The flight example's static features, through a real Redis, equal those trained on."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preparation.data_set import PIPELINES, STATIC_PIPELINE
from preparation.feature_matrix import load_example
from preparation.lookup import look_up
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.handler import FeatureHandler, LookupResult
from tailrace.features.loader import load_view
from tailrace.features.plan import compile_lookup
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.state import FeatureState
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns, DType, column_block
from tailrace.runtime.pipeline.plan import Pipeline

# The example is prepared by the first test that needs it.
pytestmark = pytest.mark.timeout(400)

PREFIX = "flights"
DEADLINE_NS = 60 * 10**9


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_example(PIPELINES).pipelines[STATIC_PIPELINE]


@pytest.fixture
def held_out(prepared_flights: Path) -> pd.DataFrame:
    table = pd.read_parquet(prepared_flights / "held_out.parquet")
    # Some that no view knows.
    table.loc[::50, ["tailnum", "dest"]] = ["N-NONE", "XXX"]
    return table


def keys_of(pipeline: Pipeline, requests: pd.DataFrame) -> Columns:
    columns = Columns(len(requests))
    for plan in pipeline.views:
        for source in plan.keys:
            values = requests[source.name]
            if source.key.dtype is DType.TIMESTAMP:
                values = values.dt.as_unit("us").astype("int64")
            columns.extend([column_block(source.column, source.key.dtype, values.to_numpy())])
    return columns


async def look_up_in_redis(pipeline: Pipeline, url: str, keys: Columns) -> LookupResult:
    deadlines = [time.monotonic_ns() + DEADLINE_NS] * keys.rows
    batch = Batch(pipeline.name, pipeline.version, Rows([""] * keys.rows, deadlines), keys)
    store = RedisFeatureStore(url, prefix=PREFIX)
    try:
        return await FeatureHandler(store, max_keys=10**6).handle(batch, compile_lookup(pipeline))
    finally:
        await store.close()


async def test_features_served_are_the_features_trained_on(
    pipeline: Pipeline, prepared_flights: Path, held_out: pd.DataFrame, fresh_redis: LocalRedis
) -> None:
    link = RedisLink(fresh_redis.url, client_name="test")
    for plan in pipeline.views:
        file = prepared_flights / f"{plan.view.view}.parquet"
        report = await load_view(plan.view, file, link=link, prefix=PREFIX)
        assert not report.bad_rows
    await link.close()
    keys = keys_of(pipeline, held_out)
    served = await look_up_in_redis(pipeline, fresh_redis.url, keys)
    states = {outcome.view: outcome.states for outcome in served.views}
    for plan in pipeline.views:
        name = plan.view.view
        table = pd.read_parquet(prepared_flights / f"{name}.parquet")
        trained = look_up(plan, [keys[source.column] for source in plan.keys], table)
        assert trained
        for column, expected in trained.items():
            np.testing.assert_array_equal(served.columns[column], expected, err_msg=column)
        missing = (states[name] == FeatureState.MISSING).mean()
        assert 0 < missing < 0.2, f"{name}: {missing} of the rows are missing"
