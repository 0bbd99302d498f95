"""Key columns taken straight from requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.view_plan import KeySource
from tailrace.runtime.wire import to_block
from tailrace.v1 import tensor_pb2

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
