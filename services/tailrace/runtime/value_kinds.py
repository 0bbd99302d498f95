"""The kinds of `tailrace.v1.Value`: what errors call them, and which a plain value becomes."""

from __future__ import annotations

from datetime import datetime

from tailrace.v1 import tensor_pb2

KIND_NAMES = {
    "string_value": "a string",
    "int64_value": "an int64",
    "double_value": "a double",
    "bool_value": "a bool",
    "timestamp_value": "a timestamp",
    "bytes_value": "bytes",
    "tensor_value": "a tensor",
}


def value_message(value: str | bool | int | float | datetime) -> tensor_pb2.Value:
    """Returns a value of a file, or of a column, as a message."""
    if isinstance(value, str):
        return tensor_pb2.Value(string_value=value)
    if isinstance(value, bool):
        return tensor_pb2.Value(bool_value=value)
    if isinstance(value, int):
        return tensor_pb2.Value(int64_value=value)
    if isinstance(value, float):
        return tensor_pb2.Value(double_value=value)
    message = tensor_pb2.Value()
    message.timestamp_value.FromDatetime(value)
    return message
