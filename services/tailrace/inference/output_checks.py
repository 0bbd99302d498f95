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


class OutputCheck:
    """What the pipeline file declares of one output, ready to be compared with arrays.

    Attributes:
        name: of the output.
    """

    def __init__(self, output: ModelOutput) -> None:
        """Keeps what is compared."""
        self.name = output.name
        self._dtype = output.dtype
        self._numpy = output.dtype.numpy
        self._shape = tuple(output.shape)
        self._is_floating = output.dtype.is_floating
        self._allow_nan = output.allow_nan

    def checked(self, values: Array, rows: int, bad: BadRows) -> Array:
        """Returns the output as [rows, *shape] of the declared type.

        Args:
            values: as the model answered.
            rows: number of rows that the model was given.
            bad: takes what is wrong with single rows.

        Raises:
            ModelOutputInvalid: wrong shape or type.
        """
        if values.shape[1:] != self._shape or values.shape[:1] != (rows,):
            values = self._shaped(values, rows)
        if self._dtype is DType.STRING:
            return self._decoded(values, bad)
        if values.dtype != self._numpy:
            raise self._invalid(f"is of type {values.dtype}, not {self._dtype.value}")
        if self._is_floating:
            fine = ~np.isinf(values) if self._allow_nan else np.isfinite(values)
            if not fine.all():
                self._tell_rows(values, fine, bad)
        return values

    def _shaped(self, values: Array, rows: int) -> Array:
        expected, found = self._shape, values.shape[1:]
        if values.shape[:1] == (rows,):
            if same_row_shape(expected, found):
                return values.reshape(rows, *expected)
            if len(found) == len(expected) and all(
                size in (-1, actual) for size, actual in zip(expected, found, strict=True)
            ):
                return values
        raise self._invalid(f"has shape {list(values.shape)}, not {[rows, *expected]}")

    def _tell_rows(self, values: Array, fine: NDArray[np.bool_], bad: BadRows) -> None:
        for row in np.flatnonzero(~fine.reshape(len(values), -1).all(axis=1)).tolist():
            found = "NaN" if np.isnan(values[row]).any() else "an infinity"
            bad.setdefault(row, self._invalid(f"holds {found}"))

    def _decoded(self, values: Array, bad: BadRows) -> Array:
        if values.dtype != np.dtype(object):
            raise self._invalid(f"is of type {values.dtype}, not string")
        flat = values.ravel()
        decoded = np.empty(flat.shape, dtype=object)
        width = max(1, flat.size // max(1, len(values)))
        for place, value in enumerate(flat.tolist()):
            try:
                decoded[place] = value if isinstance(value, str) else bytes(value).decode()
            except UnicodeDecodeError:
                decoded[place] = ""
                bad.setdefault(place // width, self._invalid("is not UTF-8 text"))
        return decoded.reshape(values.shape)

    def _invalid(self, what: str) -> ModelOutputInvalid:
        return ModelOutputInvalid(f"the model's output {self.name!r} {what}")


def checked_outputs(
    answer: ModelAnswer, checks: Sequence[OutputCheck], rows: int
) -> tuple[dict[str, Array], BadRows]:
    """Returns the outputs, each [rows, *shape], and what is wrong with single rows, by row.

    Args:
        answer: of the model.
        checks: of the outputs wanted.
        rows: number of rows that the model was given.

    Raises:
        ModelOutputInvalid: an output is missing or of the wrong shape or type; no row of the
            answer can be trusted.
    """
    outputs: dict[str, Array] = {}
    bad: BadRows = {}
    for check in checks:
        values = answer.outputs.get(check.name)
        if values is None:
            raise ModelOutputInvalid(f"the model did not answer with the output {check.name!r}")
        outputs[check.name] = check.checked(values, rows, bad)
    return outputs, bad
