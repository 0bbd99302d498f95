"""What the kinds of `tailrace.v1.Value` are called in errors."""

from __future__ import annotations

KIND_NAMES = {
    "string_value": "a string",
    "int64_value": "an int64",
    "double_value": "a double",
    "bool_value": "a bool",
    "timestamp_value": "a timestamp",
    "bytes_value": "bytes",
    "tensor_value": "a tensor",
}
