"""The pipelines that a gateway serves."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.v1 import prediction_service_pb2


@dataclass(frozen=True, slots=True)
class PipelineSummary:
    """One pipeline being served.

    Attributes:
        name: name of the pipeline.
        version: exact version that new requests get; empty if none can be served.
        description: what it predicts.
        load_error: why a newer version of its file is not served; empty if all is well.
    """

    name: str
    version: str
    description: str
    load_error: str

    @classmethod
    def of_message(cls, message: prediction_service_pb2.PipelineSummary) -> PipelineSummary:
        """Returns the summary that a server sent."""
        return cls(message.name, message.version, message.description, message.load_error)
