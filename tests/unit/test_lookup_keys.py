"""Columns of keys and instants, taken from requests and from what ingest makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tailrace.client.values import to_value
from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.view_plan import KeySource
from tailrace.runtime.wire import to_block
from tailrace.v1 import tensor_pb2
from tests.support.pipeline_files import PIPELINE, changed, write_folder

MOST_NANOS = 2**31 - 1


def _keys_by_time() -> LookupKeys:
    key: Any = SimpleNamespace(dtype=DType.TIMESTAMP)
    view = SimpleNamespace(keys=(KeySource(key, "request", "at", "view.at"),), instant=None)
    request = SimpleNamespace(fields={"at": SimpleNamespace()})
    pipeline: Any = SimpleNamespace(views=[view], spec=SimpleNamespace(request=request))
    return LookupKeys(pipeline)


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (2**63 - 1, 0),
        (-(2**63), 0),
        # Within reach of 64 bits in seconds, and beyond with the rest.
        (9_223_372_036_854, MOST_NANOS),
        (9_223_372_036_853, MOST_NANOS),
        (-9_223_372_036_854, -MOST_NANOS),
    ],
)
def test_an_instant_out_of_range_is_null_and_leaves_the_other_rows_alone(
    seconds: int, nanos: int
) -> None:
    rows: list[Any] = []
    for at in ((1, 500_000), (seconds, nanos)):
        value = tensor_pb2.Value()
        value.timestamp_value.seconds, value.timestamp_value.nanos = at
        rows.append(SimpleNamespace(fields={"at": value}))
    block = to_block(_keys_by_time().blocks(rows, None)[0], 2, "keys")
    assert block.validity is not None
    assert block.validity.tolist() == [[True, False]]
    assert np.asarray(block.values).tolist() == [[1_000_500, 0]]


# --- lists and instants --------------------------------------------------------------------

AT = datetime(2013, 5, 1, tzinfo=UTC)
AT_US = 1_367_366_400_000_000


def pipeline_of(folder: Path, origin: str = "request") -> Pipeline:
    """A pipeline that reads `place` twice by a list, and `driver` for an instant."""
    views = [
        {"view": "driver", "keys": {"driver": "request.driver"}, "at": "request.pickup"},
        {"view": "place", "keys": {"zone": f"{origin}.zones"}},
        {"view": "place", "as": "there", "keys": {"zone": "request.zones"}},
    ]
    content = changed(
        PIPELINE, ("features.views", views), ("model.inputs.0.columns", ["driver.rides"])
    )
    content["request"]["fields"]["zones"] = {"type": "int64", "max_items": 3}
    content["request"]["fields"]["pickup"] = {"type": "timestamp"}
    loaded = load_directory(write_folder(folder, content))
    assert loaded.errors == {}
    return loaded.pipelines["tip"]


def rows_of(*requests: dict[str, Any]) -> list[Any]:
    """Rows with these fields."""
    return [
        SimpleNamespace(fields={name: to_value(value, name) for name, value in fields.items()})
        for fields in requests
    ]


def columns_of(
    keys: LookupKeys, rows: list[Any], ingested: Columns | None = None
) -> dict[str, tuple[Any, Any]]:
    """Values and validity by column."""
    found = {}
    for message in keys.blocks(rows, ingested):
        block = to_block(message, len(rows), "keys")
        for place, name in enumerate(block.names):
            validity = None if block.validity is None else block.validity[place].tolist()
            found[name] = block.values[place].tolist(), validity
    return found


@pytest.mark.parametrize("as_messages", [True, False])
def test_lists_are_filled_up_and_instants_go_beside_the_keys(
    tmp_path: Path, as_messages: bool
) -> None:
    keys = LookupKeys(pipeline_of(tmp_path), as_messages=as_messages)
    rows = rows_of(
        {"driver": "a", "zones": [7, 8, 9], "pickup": AT}, {"driver": "b", "zones": [5]}, {}
    )

    found = columns_of(keys, rows)

    zones = [[7, 8, 9], [5, 0, 0], [0, 0, 0]]
    assert found == {
        "driver.driver": (["a", "b", ""], [True, True, False]),
        "driver.@at": ([AT_US, 0, 0], [True, False, False]),
        "place.zone": (zones, None),
        "there.zone": (zones, None),
        "place.zone.length": ([3, 1, 0], None),
        "there.zone.length": ([3, 1, 0], None),
    }


@pytest.mark.parametrize("as_messages", [True, False])
@pytest.mark.parametrize("zones", [[1, 2, 3, 4], ["a"], 7, [], np.array([[1]]), None])
def test_a_list_that_ingest_will_refuse_is_empty_and_leaves_the_other_rows_alone(
    tmp_path: Path, zones: Any, as_messages: bool
) -> None:
    keys = LookupKeys(pipeline_of(tmp_path), as_messages=as_messages)

    found = columns_of(keys, rows_of({"zones": zones}, {"zones": [1]}))

    assert found["place.zone"] == ([[0, 0, 0], [1, 0, 0]], None)
    assert found["place.zone.length"] == ([0, 1], None)


def test_bytes_that_are_no_list_are_an_empty_one(tmp_path: Path) -> None:
    keys = LookupKeys(pipeline_of(tmp_path))
    rows = rows_of({"zones": [1, 2]})
    rows[0].fields["zones"].tensor_value.data = b"cut"

    assert columns_of(keys, rows)["place.zone.length"] == ([0], None)


def test_lists_come_from_ingest_where_the_file_says_so(tmp_path: Path) -> None:
    keys = LookupKeys(pipeline_of(tmp_path, "ingest"))
    ingested = Columns(
        1,
        [
            column_block("zones", DType.INT64, np.array([[4, 5, 6]])),
            Block(("zones.length",), DType.INT64, np.array([[2]])),
        ],
    )

    found = columns_of(keys, rows_of({"zones": [1]}), ingested)

    assert found["place.zone"] == ([[4, 5, 6]], None)
    assert found["place.zone.length"] == ([2], None)
    assert found["there.zone"] == ([[1, 0, 0]], None)
