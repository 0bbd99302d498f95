"""Hops that answer what they were not asked: the caller is not told that it is to blame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.predictions import responses_of
from tailrace.runtime.errors import Code, TailraceError
from tailrace.v1 import batch_pb2, prediction_service_pb2
from tests.support.simulated_hops import SimulatedChain
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline


def _fewer_rows(batch: batch_pb2.Batch) -> None:
    values = batch.blocks[0].values
    values.shape[1] -= 1
    values.data = values.data[: values.shape[1] * 4]


def _fewer_rows_and_a_failure(batch: batch_pb2.Batch) -> None:
    _fewer_rows(batch)
    batch.rows.errors.add(row=0, code=int(Code.INVALID_ARGUMENT))


def _no_such_row(batch: batch_pb2.Batch) -> None:
    batch.rows.errors.add(row=3, code=int(Code.INVALID_ARGUMENT))


def _no_such_code(batch: batch_pb2.Batch) -> None:
    batch.rows.errors.add(row=0, code=99)


def _failure_without_a_code(batch: batch_pb2.Batch) -> None:
    batch.rows.errors.add(row=0, code=0)


def _no_columns(batch: batch_pb2.Batch) -> None:
    del batch.blocks[:]


class _Spoilt:
    """A hop's method whose answers are changed on their way."""

    def __init__(self, method: Any, spoil: Callable[[batch_pb2.Batch], None]) -> None:
        self._method, self._spoil = method, spoil

    async def __call__(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109  # as gRPC's
        response = await self._method(request, timeout=timeout)
        self._spoil(response.batch)
        return response


SPOILS = [
    _fewer_rows,
    _fewer_rows_and_a_failure,
    _no_such_row,
    _no_such_code,
    _failure_without_a_code,
]


@pytest.mark.parametrize(
    ("hop", "spoil"),
    [(hop, spoil) for hop in ("ingest", "inference", "postprocess") for spoil in SPOILS]
    + [("postprocess", _no_columns)],
)
def test_an_answer_of_other_rows_is_an_internal_error(
    tmp_path: Path, hop: str, spoil: Callable[[batch_pb2.Batch], None]
) -> None:
    async def run() -> list[Any]:
        pipeline = written_pipeline(tmp_path)
        chain: Any = SimulatedChain(lambda hop, rows: (0.01, None)).chain(pipeline)
        port = getattr(chain._ports, hop)
        port._method = _Spoilt(port._method, spoil)
        convoy = Convoy(pipeline, [_row(number) for number in range(3)])
        await chain.run(convoy)
        return responses_of(convoy)

    outcomes = run_virtually(run())
    assert all(isinstance(outcome, TailraceError) for outcome in outcomes)
    assert {outcome.code for outcome in outcomes} == {Code.INTERNAL}
    assert all(outcome.message.startswith(hop) for outcome in outcomes)


def _row(number: int) -> ConvoyRow:
    now_ns = round(asyncio.get_running_loop().time() * 1e9)
    request = prediction_service_pb2.PredictRequest(request_id=str(number))
    request.fields["x"].double_value = number
    return ConvoyRow(
        pipeline="under-test",
        request_id=str(number),
        fields=request.fields,
        deadline_ns=now_ns + 10**9,
        granted_ns=10**9,
        received_ns=now_ns,
        data=request.SerializeToString(),
    )
