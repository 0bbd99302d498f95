"""What a hop answers, whatever carries it: a message between processes, or this very object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tailrace.runtime.columns import Block
from tailrace.runtime.errors import TailraceError
from tailrace.v1 import tensor_pb2

PassedBlock: TypeAlias = tensor_pb2.ColumnBlock | Block
"""Columns on their way between hops: as they came from a service, or as a hop made them here."""


class ViewStates(Protocol):
    """How a lookup in one feature view ended."""

    @property
    def view(self) -> str:
        """Name of the view."""
        ...

    @property
    def states(self) -> bytes:
        """A `tailrace.v1.FeatureState` per row, one byte each; 0 where the row failed."""
        ...

    @property
    def element_states(self) -> bytes:
        """Where keys are lists, the same per row and element; 0 where a list has no more."""
        ...


@dataclass(frozen=True, slots=True)
class FoundStates:
    """`ViewStates` of a lookup in this process. See there."""

    view: str
    states: bytes
    element_states: bytes = b""


@dataclass(slots=True)
class HopAnswer:
    """The answer for some rows.

    Attributes:
        blocks: the hop's columns, for all rows that it was asked about, in their order.
        failures: the rows that failed at the hop, by place in what it was asked about.
        queue_ns: from receipt until the work began.
        work_ns: from then until it was done.
        views: one element per feature view, of the features hop.
        model_name: the model that answered, of the inference hop.
        model_versions: what answered: one for all rows, or one per row.
    """

    blocks: Sequence[PassedBlock]
    failures: Iterable[tuple[int, TailraceError]]
    queue_ns: int
    work_ns: int
    views: Sequence[ViewStates] = ()
    model_name: str = ""
    model_versions: Sequence[str] = ()
