"""Quality of predictions: what the features hop found, told of each row."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.predictions import responses_of
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.v1 import feature_service_pb2, prediction_service_pb2
from tests.support.feature_world import view, write_pipeline

FRESH = feature_service_pb2.FEATURE_STATE_FRESH
MISSING = feature_service_pb2.FEATURE_STATE_MISSING
NOT_KEPT = feature_service_pb2.FEATURE_STATE_NOT_KEPT
LIVE = prediction_service_pb2.QUALITY_LIVE
DEFAULTS = prediction_service_pb2.QUALITY_DEFAULT_FEATURES


def answered(
    folder: Path, lookup: feature_service_pb2.ViewLookup, rows: int, **parts: Any
) -> list[tuple[int, list[str]]]:
    """Returns quality and reasons of rows of which a view was found like this."""
    content = load_directory(write_pipeline(folder, [view("clicks", {"n": "int64"}, **parts)]))
    deadline_ns = time.monotonic_ns() + 10**10
    convoy = Convoy(
        content.pipelines["p"],
        [ConvoyRow("p", f"{row}", {}, deadline_ns, 10**10, 0) for row in range(rows)],
        views=[lookup],
        view_rows=list(range(rows)),
        model_versions=["1"],
        prediction_rows=list(range(rows)),
    )
    found = []
    for response in responses_of(convoy):
        assert isinstance(response, prediction_service_pb2.PredictResponse)
        details = [reason.detail for reason in response.quality_reasons]
        found.append((int(response.quality), details))
    return found


def test_what_is_not_kept_is_told_apart_from_what_is_missing(tmp_path: Path) -> None:
    states = bytes([FRESH, MISSING, NOT_KEPT])
    lookup = feature_service_pb2.ViewLookup(view="clicks", states=states)
    assert answered(tmp_path, lookup, 3) == [
        (LIVE, []),
        (DEFAULTS, ["clicks: missing"]),
        (DEFAULTS, ["clicks: not kept for this instant"]),
    ]


def test_it_is_told_how_many_of_a_list_are_not_kept(tmp_path: Path) -> None:
    states = bytes([NOT_KEPT, FRESH, NOT_KEPT, MISSING, NOT_KEPT, 0])
    lookup = feature_service_pb2.ViewLookup(
        view="clicks", states=bytes([NOT_KEPT, NOT_KEPT]), element_states=states
    )
    assert answered(tmp_path, lookup, 2) == [
        (DEFAULTS, ["clicks: 2 of 3 not kept for this instant"]),
        (DEFAULTS, ["clicks: 1 of 2 missing", "clicks: 1 of 2 not kept for this instant"]),
    ]


@pytest.mark.parametrize("state", [MISSING, NOT_KEPT])
def test_a_flag_that_the_model_reads_leaves_a_prediction_live(tmp_path: Path, state: int) -> None:
    lookup = feature_service_pb2.ViewLookup(view="clicks", states=bytes([state]))
    assert answered(tmp_path, lookup, 1, on_missing="flag") == [(LIVE, [])]
