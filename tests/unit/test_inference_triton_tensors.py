"""Triton's raw tensors, checked against what tritonclient makes of the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.utils as triton_utils
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tailrace.inference.triton_scheduling import calls_at_once, may_stall
from tailrace.inference.triton_tensors import from_raw, from_triton_type, to_raw
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import ModelOutputInvalid

TYPE_NAMES = [
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16",
    "FP32", "FP64",
]  # fmt: skip


@pytest.mark.parametrize("name", TYPE_NAMES)
def test_numbers_come_back_as_they_went(name: str) -> None:
    dtype = from_triton_type(name)
    assert dtype is not None
    assert triton_utils.triton_to_np_dtype(name) == dtype.numpy
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)
    assert to_raw(values) == values.tobytes()
    assert from_raw("y", name, [2, 3], to_raw(values)).tolist() == values.tolist()


def test_a_transposed_array_is_sent_row_by_row() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert from_raw("y", "FP32", [3, 2], to_raw(values)).tolist() == values.tolist()


def test_strings_are_serialised_as_tritonclient_does() -> None:
    texts = np.array([["", "déjà"], ["a\0b", "x" * 300]], dtype=object)
    expected = triton_utils.serialize_byte_tensor(
        np.array([[text.encode() for text in row] for row in texts], dtype=object)
    )
    assert to_raw(texts) == expected.item()
    decoded = from_raw("y", "BYTES", [2, 2], to_raw(texts))
    assert [value.decode() for value in decoded.ravel()] == texts.ravel().tolist()


@pytest.mark.parametrize(
    "type_name, shape, data",
    [
        ("FP32", [2], b"\0" * 7),
        ("FP32", [3], b"\0" * 8),
        ("FP32", [-1], b""),
        ("BF16", [1], b"\0\0"),
        ("BYTES", [1], b"\5\0\0\0abc"),
        ("BYTES", [2], b"\1\0\0\0a"),
        ("BYTES", [1], b"\1\0\0\0aXX"),
        ("BYTES", [1], b"\1\0"),
    ],
)
def test_data_that_is_not_what_it_claims_is_refused(
    type_name: str, shape: list[int], data: bytes
) -> None:
    with pytest.raises(ModelOutputInvalid):
        from_raw("y", type_name, shape, data)


def test_a_type_that_is_not_ours_is_none() -> None:
    assert from_triton_type("BF16") is None
    assert from_triton_type("BYTES") is DType.BYTES


def config(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


POLICY = "dynamic_batching { default_queue_policy { %s } }"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dynamic_batching {}",
        "dynamic_batching { max_queue_delay_microseconds: 100 preferred_batch_size: 4 }",
        "instance_group { count: 3 }",
    ],
)
def test_a_model_without_a_queue_policy_takes_any_number_of_calls(text: str) -> None:
    assert calls_at_once(config(text)) == 0
    assert not may_stall(config(text))


@pytest.mark.parametrize(
    "policy",
    [
        POLICY % "max_queue_size: 8",
        POLICY % "default_timeout_microseconds: 1000",
        POLICY % "allow_timeout_override: true",
        "dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
    ],
)
def test_a_model_with_a_queue_policy_keeps_one_instance_to_spare(policy: str) -> None:
    for instances, calls in ((1, 1), (2, 1), (3, 2)):
        text = f"{policy} instance_group {{ count: {instances} }}"
        assert calls_at_once(config(text)) == calls
        assert may_stall(config(text)) == (instances == 1)
