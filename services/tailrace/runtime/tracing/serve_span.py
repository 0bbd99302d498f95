"""What the span of a call that a hop's service answers says."""

from __future__ import annotations

from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue
from tailrace.v1 import batch_pb2

METHODS = {
    "ingest": "tailrace.v1.IngestService/Preprocess",
    "features": "tailrace.v1.FeatureService/LookupFeatures",
    "inference": "tailrace.v1.InferenceService/Infer",
    "postprocess": "tailrace.v1.PostprocessService/Postprocess",
}
"""What gRPC calls the one method of each hop."""


def serve_attributes(hop: str, batch: batch_pb2.Batch) -> dict[str, AttributeValue]:
    """Returns what is known once a call has come.

    Args:
        hop: name of the hop.
        batch: as the caller sent it.
    """
    return {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: METHODS[hop],
        names.HOP: hop,
        names.PIPELINE: batch.pipeline,
        names.PIPELINE_VERSION: batch.pipeline_version,
        names.ROWS: batch.rows.count,
    }
