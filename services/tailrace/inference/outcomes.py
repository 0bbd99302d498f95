"""What the calls for one batch came to, put together into columns again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.output_checks import BadRows
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Array, Block, Columns, DType
from tailrace.runtime.errors import ModelOutputInvalid, TailraceError
from tailrace.runtime.pipeline.model_section import ModelOutput


@dataclass(slots=True)
class Outcome:
    """What one call came to.

    Attributes:
        rows: indices in the batch of the rows that were asked about.
        version: the version that answered; empty if none did.
        outputs: by name, each [len(rows), *shape]; empty if the call failed.
        bad: what is wrong with single rows, by place in `rows`.
        error: why the call failed; None if it did not.
    """

    rows: NDArray[np.intp]
    version: str = ""
    outputs: dict[str, Array] = field(default_factory=dict)
    bad: BadRows = field(default_factory=dict)
    error: TailraceError | None = None


@dataclass(frozen=True, slots=True)
class Inference:
    """What the model made of a batch.

    Attributes:
        columns: one column per output, for all rows; failed rows hold zeros or anything.
        model: name of the model.
        versions: what answered: one for all rows, or one per row, empty where the row failed.
    """

    columns: Columns
    model: str
    versions: list[str]


def merged(
    model: str, outcomes: Sequence[Outcome], outputs: Sequence[ModelOutput], rows: Rows
) -> Inference:
    """Returns the outcomes of all calls as columns, and marks the rows that have failed.

    Raises:
        TailraceError: of the first call, if every call failed: then nothing is known of any row.
    """
    if len(outcomes) == 1:
        only = outcomes[0]
        if only.error is not None:
            raise only.error
        good = [only]
    else:
        good = _good(outcomes)
    for outcome in outcomes:
        _mark_failures(outcome, rows)
    blocks = [
        Block((output.name,), output.dtype, _column(output, good, len(rows))[np.newaxis])
        for output in outputs
    ]
    return Inference(Columns(len(rows), blocks), model, _versions(good, len(rows)))


def _good(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Returns the outcomes that can stand together. Raises the first error if there are none."""
    good = [outcome for outcome in outcomes if outcome.error is None]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors and not good:
        raise errors[0]
    for outcome in good[1:]:
        _refuse_other_shapes(outcome, good[0])
    return [outcome for outcome in good if outcome.error is None]


def _refuse_other_shapes(outcome: Outcome, first: Outcome) -> None:
    for name, values in outcome.outputs.items():
        if values.shape[1:] != first.outputs[name].shape[1:]:
            outcome.error = ModelOutputInvalid(
                f"the model's output {name!r} has rows of shape {list(values.shape[1:])} in one "
                f"call and {list(first.outputs[name].shape[1:])} in another"
            )


def _mark_failures(outcome: Outcome, rows: Rows) -> None:
    if outcome.error is not None:
        for row in outcome.rows.tolist():
            rows.fail(row, outcome.error)
        return
    for place, error in outcome.bad.items():
        rows.fail(int(outcome.rows[place]), error)


def _column(output: ModelOutput, good: Sequence[Outcome], rows: int) -> Array:
    if len(good) == 1 and len(good[0].rows) == rows:
        return good[0].outputs[output.name]
    shape = [max(size, 0) for size in output.shape]
    if good:
        shape = list(good[0].outputs[output.name].shape[1:])
    if output.dtype.is_ragged:
        column = np.full((rows, *shape), "" if output.dtype is DType.STRING else b"", dtype=object)
    else:
        column = np.zeros((rows, *shape), output.dtype.numpy)
    for outcome in good:
        column[outcome.rows] = outcome.outputs[output.name]
    return column


def _versions(good: Sequence[Outcome], rows: int) -> list[str]:
    if len(good) == 1:
        return [good[0].version]
    distinct = {outcome.version for outcome in good}
    if len(distinct) == 1:
        return list(distinct)
    versions = [""] * rows
    for outcome in good:
        for row in outcome.rows.tolist():
            versions[row] = outcome.version
    return versions
