"""A hop of this process gets what a service would have been sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.hop_messages import request_message
from tailrace.gateway.hop_port import HopRequest
from tailrace.gateway.local_hop import LocalHop
from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import DType, column_block
from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.runtime.wire import batch_from_proto, to_block
from tailrace.v1 import batch_pb2, prediction_service_pb2
from tests.support.pipeline_files import write_folder

SECOND_NS = 10**9


def _row(number: int, **fields: Any) -> ConvoyRow:
    request = prediction_service_pb2.PredictRequest(request_id=str(number))
    request.fields["x"].double_value = number
    return ConvoyRow(
        pipeline="under-test",
        request_id=str(number),
        fields=request.fields,
        deadline_ns=time.monotonic_ns() + (number + 1) * SECOND_NS,
        granted_ns=SECOND_NS,
        received_ns=0,
        data=request.SerializeToString(),
        **fields,
    )


def _pipeline(folder: Path) -> Pipeline:
    return load_directory(write_folder(folder)).pipelines["tip"]


class _Seen:
    """A handler that keeps what it is asked."""

    def __init__(self) -> None:
        self.batch: Any = None
        self.fields: Any = None
        self.trace: Any = None

    async def __call__(self, batch: Batch, fields: Any, context: Any) -> HopAnswer:
        self.batch, self.fields, self.trace = batch, fields, context.trace
        assert 0 < context.time_remaining() <= 1
        return HopAnswer([], [], 1, 2)


def _convoy(tmp_path: Path, rows: Sequence[ConvoyRow]) -> Convoy:
    return Convoy(_pipeline(tmp_path), rows)


async def test_rows_and_columns_are_those_that_a_service_reads_from_its_message(
    tmp_path: Path,
) -> None:
    rows = [
        _row(
            number,
            priority=batch_pb2.PRIORITY_CRITICAL,
            trace=TraceContext(f"{number:032x}", f"{number:016x}", True, tracestate=f"a={number}"),
            tenant="someone",
        )
        for number in range(3)
    ]
    blocks = [column_block("a", DType.FLOAT32, np.array([1, 2], np.float32))]
    request = HopRequest(_convoy(tmp_path, rows), [0, 2], blocks)
    seen = _Seen()
    answer = await LocalHop(seen, reads_requests=True).call(request, 1.0)
    assert (answer.queue_ns, answer.work_ns) == (1, 2)
    sent = batch_from_proto(request_message("inference", request).batch, 2)
    for name in ("request_ids", "priorities", "traceparents", "tracestates", "tenants"):
        assert getattr(seen.batch.rows, name) == getattr(sent.rows, name), name
    early_ns = np.subtract(seen.batch.rows.deadlines_ns, [rows[0].deadline_ns, rows[2].deadline_ns])
    assert early_ns.tolist() == [0, 0]
    assert (seen.batch.pipeline, seen.batch.version) == (sent.pipeline, sent.version)
    assert seen.batch.columns["a"] is not None
    assert seen.batch.columns.blocks == blocks
    assert [fields["x"].double_value for fields in seen.fields] == [0, 2]


async def test_the_handler_is_handed_the_place_of_the_hops_span(tmp_path: Path) -> None:
    request = HopRequest(_convoy(tmp_path, [_row(0)]), [0])
    seen, place = _Seen(), new_trace(sampled=True)
    await LocalHop(seen).call(request, 1.0, place)
    assert seen.trace is place
    await LocalHop(seen).call(request, 1.0)
    assert seen.trace is None


async def test_columns_that_came_as_a_message_are_opened(tmp_path: Path) -> None:
    request = HopRequest(_convoy(tmp_path, [_row(0)]), [0])
    block = column_block("a", DType.INT64, np.array([5]))
    message = request_message("inference", HopRequest(request.convoy, [0], [block])).batch.blocks[0]
    seen = _Seen()
    await LocalHop(seen).call(HopRequest(request.convoy, [0], [message]), 1.0)
    assert seen.batch.columns["a"].tolist() == [5]
    assert seen.fields == ()


async def test_what_a_handler_did_not_foresee_is_internal(tmp_path: Path) -> None:
    async def fails(batch: Batch, fields: Any, context: Any) -> HopAnswer:
        raise ZeroDivisionError

    with pytest.raises(TailraceError) as caught:
        await LocalHop(fails).call(HopRequest(_convoy(tmp_path, [_row(0)]), [0]), 1.0)
    assert caught.value.code is Code.INTERNAL


def test_keys_are_alike_as_arrays_and_as_messages(tmp_path: Path) -> None:
    pipeline = _pipeline(tmp_path)
    names = {key.name for plan in pipeline.views for key in plan.keys if key.origin == "request"}
    rows = [_row(number) for number in range(2)]
    for name in names:
        prediction = prediction_service_pb2.PredictRequest()
        prediction.fields[name].string_value = "one"
        rows[1].fields = prediction.fields
    as_messages = LookupKeys(pipeline).blocks(rows, None)
    as_arrays = LookupKeys(pipeline, as_messages=False).blocks(rows, None)
    assert as_arrays
    for message, block in zip(as_messages, as_arrays, strict=True):
        opened = to_block(message, 2, "keys")
        assert (opened.names, opened.dtype) == (block.names, block.dtype)  # type: ignore[union-attr]
        made = to_block(block, 2, "keys")
        assert opened.values.tolist() == made.values.tolist()
        assert (opened.validity is None) == (made.validity is None)
        if opened.validity is not None and made.validity is not None:
            assert opened.validity.tolist() == made.validity.tolist()
