"""Model files in a repository, and ONNX Runtime's words for types and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tailrace.inference.backend import TensorInfo
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import InvalidTensor

MODEL_FILE = "model.onnx"

_FROM_ONNX = {
    "tensor(bool)": DType.BOOL,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(float16)": DType.FLOAT16,
    "tensor(float)": DType.FLOAT32,
    "tensor(double)": DType.FLOAT64,
    "tensor(string)": DType.BYTES,
}


def versions_of(repository: Path, model: str) -> tuple[str, ...] | None:
    """Returns the versions of a model that have a file, ascending; None if there is no model."""
    folder = repository / model
    # The name comes from a pipeline file, and must not lead out of the repository.
    if folder.parent != repository or not folder.is_dir():
        return None
    found = [entry.parent.name for entry in folder.glob(f"*/{MODEL_FILE}")]
    return tuple(sorted((name for name in found if name.isdecimal()), key=int))


def tensor_info(item: Any) -> TensorInfo:
    """Returns what a session's `NodeArg` says of an input or output."""
    return TensorInfo(
        name=item.name,
        dtype=_FROM_ONNX.get(item.type),
        type_name=item.type,
        shape=tuple(size if isinstance(size, int) else -1 for size in item.shape),
    )


def as_text(name: str, values: Array) -> Array:
    """Returns an `object` array as str only. Raises InvalidTensor where bytes are not UTF-8."""
    # onnxruntime would take bytes as the text "b'...'".
    texts = np.empty(values.size, dtype=object)
    for place, value in enumerate(values.ravel().tolist()):
        try:
            texts[place] = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError as error:
            raise InvalidTensor(
                f"the model input {name!r} takes UTF-8 text only", field=name
            ) from error
    return texts.reshape(values.shape)
