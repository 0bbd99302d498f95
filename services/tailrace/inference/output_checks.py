"""Checks what a model answered: names, types, shapes, and that numbers are finite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.backend import ModelAnswer
from tailrace.inference.checks import same_row_shape
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import ModelOutputInvalid
from tailrace.runtime.pipeline.model_section import ModelOutput

BadRows = dict[int, ModelOutputInvalid]


def checked_outputs(
    answer: ModelAnswer, outputs: Sequence[ModelOutput], rows: int
) -> tuple[dict[str, Array], BadRows]:
    """Returns the outputs, each [rows, *shape], and what is wrong with single rows, by row.

    Args:
        answer: of the model.
        outputs: as the pipeline file declares them.
        rows: number of rows that the model was given.

    Raises:
        ModelOutputInvalid: an output is missing or of the wrong shape or type; no row of the
            answer can be trusted.
    """
    checked: dict[str, Array] = {}
    bad: BadRows = {}
    for output in outputs:
        values = answer.outputs.get(output.name)
        if values is None:
            raise ModelOutputInvalid(f"the model did not answer with the output {output.name!r}")
        values = _shaped(output, values, rows)
        if output.dtype is DType.STRING:
            values = _decoded(output, values, bad)
        elif values.dtype != output.dtype.numpy:
            raise ModelOutputInvalid(
                f"the model's output {output.name!r} is of type {values.dtype}, "
                f"not {output.dtype.value}"
            )
        elif output.dtype.is_floating:
            _check_finite(output, values, bad)
        checked[output.name] = values
    return checked, bad


def _shaped(output: ModelOutput, values: Array, rows: int) -> Array:
    expected = tuple(output.shape)
    found = values.shape[1:]
    if values.ndim and values.shape[0] == rows:
        if found == expected:
            return values
        if same_row_shape(expected, found):
            return values.reshape(rows, *expected)
        if len(found) == len(expected) and all(
            size in (-1, actual) for size, actual in zip(expected, found, strict=True)
        ):
            return values
    raise ModelOutputInvalid(
        f"the model's output {output.name!r} has shape {list(values.shape)}, "
        f"not {[rows, *expected]}"
    )


def _check_finite(output: ModelOutput, values: Array, bad: BadRows) -> None:
    wrong: NDArray[np.bool_] = np.isinf(values) if output.allow_nan else ~np.isfinite(values)
    if not wrong.any():
        return
    for row in np.flatnonzero(wrong.reshape(len(values), -1).any(axis=1)).tolist():
        found = "NaN" if np.isnan(values[row]).any() else "an infinity"
        bad.setdefault(row, ModelOutputInvalid(f"the model's output {output.name!r} holds {found}"))


def _decoded(output: ModelOutput, values: Array, bad: BadRows) -> Array:
    if values.dtype != np.dtype(object):
        raise ModelOutputInvalid(
            f"the model's output {output.name!r} is of type {values.dtype}, not string"
        )
    flat = values.ravel()
    decoded = np.empty(flat.shape, dtype=object)
    width = max(1, flat.size // max(1, len(values)))
    for place, value in enumerate(flat.tolist()):
        try:
            decoded[place] = value if isinstance(value, str) else bytes(value).decode()
        except UnicodeDecodeError:
            decoded[place] = ""
            bad.setdefault(
                place // width,
                ModelOutputInvalid(f"the model's output {output.name!r} is not UTF-8 text"),
            )
    return decoded.reshape(values.shape)
