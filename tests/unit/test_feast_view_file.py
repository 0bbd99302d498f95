"""View files whose source is Feast: what they may say."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from tailrace.features.app import open_store
from tailrace.features.feast.store_beside import StoreBeside
from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.training_set import StaticFile, ViewAt, training_set
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.server import StartError


def loaded(keys: list[dict[str, Any]], **source: Any) -> FeatureView:
    content = {
        "view": "v",
        "entity": "e",
        "keys": keys,
        "features": [{"name": "x", "type": "float64"}],
        "source": {"type": "feast", "project": "p", "feature_view": "f", **source},
    }
    return FeatureView.model_validate(content)


@pytest.mark.parametrize(
    ("keys", "source", "problem"),
    [
        ([{"name": "k", "type": "bool"}], {}, "Feast has no other keys"),
        ([{"name": "k", "type": "timestamp"}], {}, "whole seconds"),
        ([{"name": "k", "type": "timestamp", "granularity": "500ms"}], {}, "whole seconds"),
        ([{"name": "k"}], {"join_keys": {"other": "k"}}, "one of: k"),
        ([{"name": "k"}], {"features": {"y": "x"}}, "one of: x"),
        ([{"name": "k"}, {"name": "l"}], {"join_keys": {"k": "l"}}, "each join key once"),
        ([{"name": "k"}], {"int32_keys": ["k"]}, "keys of type int64"),
        ([{"name": "k"}], {"key_version": 2}, "3"),
    ],
)
def test_what_feast_cannot_have_is_refused(
    keys: list[dict[str, Any]], source: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        loaded(keys, **source)


def test_keys_that_feast_has_are_taken() -> None:
    keys = [{"name": "t", "type": "timestamp", "granularity": "1h"}, {"name": "i", "type": "int64"}]
    assert loaded(keys, int32_keys=["i"], join_keys={"i": "j"}).kind == "feast"


def settings(feast_redis_url: str | None = None) -> FeaturesSettings:
    own = "redis://127.0.0.1:6379/0"
    return FeaturesSettings(feature_redis_url=own, feast_redis_url=feast_redis_url)


def test_feasts_redis_is_our_own_unless_a_setting_names_another() -> None:
    assert isinstance(open_store(settings()), RedisFeatureStore)
    same = settings(feast_redis_url="redis://127.0.0.1:6379/0")
    assert isinstance(open_store(same), RedisFeatureStore)
    other = settings(feast_redis_url="redis://127.0.0.1:6379/1")
    assert isinstance(open_store(other), StoreBeside)


def test_a_url_that_cannot_be_used_names_its_setting() -> None:
    with pytest.raises(StartError, match="TAILRACE_FEAST_REDIS_URL cannot be used"):
        open_store(settings(feast_redis_url="http://127.0.0.1"))


def test_training_sets_refuse_a_view_whose_past_is_feasts() -> None:
    rows = pa.table({"k": ["a"], "x": [1.0], "at": pa.array([0], pa.timestamp("us", "UTC"))})
    view = ViewAt(loaded([{"name": "k"}]), StaticFile(rows, "at"))
    with pytest.raises(HistoryFailed, match="its past is in Feast's own store"):
        training_set([view], rows)
