"""What runs models, seen from the inference service: a small protocol and its value types.

`triton_backend.py` and `onnx_backend.py` implement it; nothing else knows which one is in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.tracing.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output as the model declares it.

    Attributes:
        name: name of the tensor.
        dtype: element type; None for a type that Tailrace does not have.
        type_name: the type in the backend's own words, for messages.
        shape: sizes of all dimensions, the rows first; -1 where free.
        optional: whether a call may leave it out.
    """

    name: str
    dtype: DType | None
    type_name: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ModelMetadata:
    """One version of a model, as the backend describes it. Compared by identity.

    Attributes:
        model: name of the model.
        version: number of the version.
        inputs: its inputs by name.
        outputs: its outputs by name.
        max_rows: most rows of one call; 0 means any number.
        priority_levels: number of priority levels, 1 being served first; 0 means none.
        calls_at_once: most calls that should be in flight; 0 means any number.
        max_queue: most calls that the model lets wait; 0 means any number.
        takes_timeout: whether a call may say how long it may wait in the model's own queue.
    """

    model: str
    version: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    max_rows: int = 0
    priority_levels: int = 0
    calls_at_once: int = 0
    max_queue: int = 0
    takes_timeout: bool = False


@dataclass(slots=True)
class ModelCall:
    """One execution to ask for.

    Attributes:
        metadata: the version to run.
        inputs: by name, each [rows, ...] of the declared type; `object` arrays hold str or bytes.
        outputs: names of the outputs wanted.
        deadline: when the answer is of no use any more.
        priority: a `tailrace.v1.Priority` number; 0 means normal.
        trace: the place of the call's span, which spans of a model server are below; None where
            it is not traced.
    """

    metadata: ModelMetadata
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    deadline: Deadline
    priority: int = 0
    trace: TraceContext | None = None


@dataclass(slots=True)
class ModelAnswer:
    """What one execution gave.

    Attributes:
        version: the version that answered.
        outputs: by name; `object` arrays hold bytes or str. Not checked against anything.
    """

    version: str
    outputs: Mapping[str, Array] = field(default_factory=dict)


class ModelBackend(Protocol):
    """Runs models. Every method keeps to the deadline it is given."""

    async def check_server(self, deadline: Deadline) -> None:
        """Returns if models can be asked about at all. Raises Unavailable."""

    async def ready_versions(self, model: str, deadline: Deadline) -> tuple[str, ...]:
        """Returns the versions that can be run now, in ascending order; at least one.

        Raises:
            NotFound: there is no such model.
            Unavailable: there is, but no version of it is ready.
        """

    async def metadata(self, model: str, version: str, deadline: Deadline) -> ModelMetadata:
        """Returns what a ready version takes and gives. Raises NotFound, Unavailable."""

    async def infer(self, call: ModelCall) -> ModelAnswer:
        """Runs a ready version.

        Raises:
            DeadlineExceeded: the deadline passed, here or in the model's queue.
            FailedPrecondition: the model does not take these inputs.
            Internal: the model failed; the log has its words.
            Overloaded: the model's queue is full.
            Unavailable: the model or its server has gone.
        """

    async def close(self) -> None:
        """Lets go of connections and threads."""
