"""Checks a model's own description against what a pipeline feeds it and wants of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailrace.inference.backend import ModelMetadata, TensorInfo
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.load import nearest


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """One tensor as the pipeline file declares it.

    Attributes:
        name: name of the tensor.
        dtype: element type.
        row_shape: shape of one row, -1 where free; None where only the model knows.
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...] | None


def differences(
    inputs: Sequence[ExpectedTensor], outputs: Sequence[ExpectedTensor], metadata: ModelMetadata
) -> list[str]:
    """Returns what keeps the pipeline from using the model, one sentence each; empty if nothing."""
    found = [
        difference
        for expected in inputs
        for difference in _compare("input", expected, metadata.inputs)
    ]
    given = {expected.name for expected in inputs}
    found += [
        f"the model needs an input {info.name!r}, which the pipeline does not give"
        for info in metadata.inputs.values()
        if info.name not in given and not info.optional
    ]
    found += [
        difference
        for expected in outputs
        for difference in _compare("output", expected, metadata.outputs)
    ]
    return found


def _compare(kind: str, expected: ExpectedTensor, known: Mapping[str, TensorInfo]) -> Iterator[str]:
    info = known.get(expected.name)
    if info is None:
        hint = nearest(expected.name, list(known))
        suggestion = f"; did you mean {hint!r}?" if hint else ""
        names = ", ".join(sorted(known))
        yield f"the model has no {kind} {expected.name!r}, only {names}{suggestion}"
        return
    name = f"{kind} {expected.name!r}"
    if not _same_type(expected.dtype, info.dtype):
        yield f"{name} is {info.type_name} in the model, {expected.dtype.value} in the pipeline"
    if not info.shape or info.shape[0] != -1:
        yield f"{name} has shape {list(info.shape)} in the model: its first dimension is not free"
    elif expected.row_shape is not None and not _shapes_fit(
        kind, expected.row_shape, info.shape[1:]
    ):
        pipeline_shape = [-1, *expected.row_shape]
        yield f"{name} has shape {list(info.shape)} in the model, {pipeline_shape} in the pipeline"


def _same_type(expected: DType, found: DType | None) -> bool:
    if found is None:
        return False
    # Text and bytes are one type to the models; an instant is its number of microseconds.
    return _as_model_type(expected) is _as_model_type(found)


def _as_model_type(dtype: DType) -> DType:
    return {DType.STRING: DType.BYTES, DType.TIMESTAMP: DType.INT64}.get(dtype, dtype)


def _shapes_fit(kind: str, expected: tuple[int, ...], found: tuple[int, ...]) -> bool:
    if kind == "output" and same_row_shape(expected, found):
        return True
    return len(expected) == len(found) and all(
        -1 in (one, other) or one == other for one, other in zip(expected, found, strict=True)
    )


def same_row_shape(expected: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Returns whether both are one value per row, as a scalar or as a vector of one.

    Triton's model configurations cannot say that a batched output is a scalar.
    """
    return {expected, found} <= {(), (1,)}
