"""`tailrace.v1.FeatureService` over gRPC."""

from __future__ import annotations

from tailrace.features.handler import FeatureHandler, ViewOutcome
from tailrace.features.plan import LookupPlan
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_call import CallContext, HopRunner
from tailrace.runtime.wire import batch_to_proto
from tailrace.v1 import feature_service_pb2, feature_service_pb2_grpc


class FeatureServicer(feature_service_pb2_grpc.FeatureServiceServicer):
    """Answers lookups with what the handler finds."""

    def __init__(self, runner: HopRunner[LookupPlan], handler: FeatureHandler) -> None:
        """Keeps the parts."""
        self._runner = runner
        self._handler = handler

    async def LookupFeatures(
        self,
        request: feature_service_pb2.LookupFeaturesRequest,
        context: CallContext,
    ) -> feature_service_pb2.LookupFeaturesResponse:
        """Returns the features of the rows that have not failed. See the proto."""
        outcome = await self._runner.run(request.batch, context, self._handler.handle)
        batch, found = outcome.batch, outcome.result
        columns = Columns(len(batch.rows)) if found is None else found.columns
        return feature_service_pb2.LookupFeaturesResponse(
            batch=batch_to_proto(Batch(batch.pipeline, batch.version, batch.rows, columns)),
            views=[] if found is None else [_view_to_proto(view) for view in found.views],
            timing=outcome.timing,
        )


def _view_to_proto(outcome: ViewOutcome) -> feature_service_pb2.ViewLookup:
    return feature_service_pb2.ViewLookup(
        view=outcome.view,
        states=outcome.states.tobytes(),
        age_us=outcome.age_us.astype("<i8", copy=False).tobytes(),
    )
