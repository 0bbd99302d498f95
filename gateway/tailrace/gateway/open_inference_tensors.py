"""A pipeline's fields as tensors of the Open Inference Protocol."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.request_schema import TensorField

DATATYPES: dict[DType, tuple[str, int, str]] = {
    DType.BOOL: ("BOOL", 1, "bool_contents"),
    DType.UINT8: ("UINT8", 2, "uint_contents"),
    DType.UINT16: ("UINT16", 3, "uint_contents"),
    DType.UINT32: ("UINT32", 4, "uint_contents"),
    DType.UINT64: ("UINT64", 5, "uint64_contents"),
    DType.INT8: ("INT8", 6, "int_contents"),
    DType.INT16: ("INT16", 7, "int_contents"),
    DType.INT32: ("INT32", 8, "int_contents"),
    DType.INT64: ("INT64", 9, "int64_contents"),
    DType.FLOAT16: ("FP16", 10, ""),
    DType.FLOAT32: ("FP32", 11, "fp32_contents"),
    DType.FLOAT64: ("FP64", 12, "fp64_contents"),
    DType.STRING: ("BYTES", 13, "bytes_contents"),
    DType.BYTES: ("BYTES", 13, "bytes_contents"),
    DType.TIMESTAMP: ("INT64", 9, "int64_contents"),
}
"""By type: the protocol's name, its number in a model configuration, and its field of contents."""


@dataclass(frozen=True, slots=True)
class OipTensor:
    """One input or output of a pipeline, seen as a model's.

    Attributes:
        name: of the field.
        dtype: type of the field.
        row_shape: shape of one row; empty for scalars. -1 is the number of a list's items, which
            is one for all rows of a request.
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...] = ()

    @property
    def datatype(self) -> str:
        """The protocol's name of the type."""
        return DATATYPES[self.dtype][0]

    @property
    def config_type(self) -> int:
        """The number of the type in a model configuration."""
        return DATATYPES[self.dtype][1]


def tensor_metadata(pipeline: Pipeline) -> tuple[list[OipTensor], list[OipTensor]]:
    """Returns the inputs and outputs of a pipeline, seen as a model's."""
    inputs = []
    for name, field in pipeline.spec.request.fields.items():
        shape = tuple(field.shape) if isinstance(field, TensorField) else ()
        shape = shape if field.list_items is None else (-1,)
        inputs.append(OipTensor(name, field.column_dtype, shape))
    outputs = []
    for output in pipeline.outputs:
        shape = output.row_shape if output.length_of is None else (-1, *output.row_shape[1:])
        outputs.append(OipTensor(output.name, output.dtype, shape))
    return inputs, outputs
