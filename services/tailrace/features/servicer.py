"""`tailrace.v1.FeatureService` over gRPC."""

from __future__ import annotations

from tailrace.features.handler import FeatureHandler, LookupResult
from tailrace.features.plan import LookupPlan
from tailrace.features.view_outcome import ViewOutcome
from tailrace.runtime.batch import Batch
from tailrace.runtime.hop_answer import FoundStates, HopAnswer
from tailrace.runtime.hop_call import CallContext, HopOutcome, HopRunner
from tailrace.runtime.hop_parts import RowFields
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
        outcome: HopOutcome[LookupResult] = await self._runner.run(
            request.batch, context, self._handler.handle
        )
        response = feature_service_pb2.LookupFeaturesResponse()
        found = outcome.result
        outcome.write(response.batch, response.timing, found.columns if found else None)
        response.views.extend(view_message(view) for view in (found.views if found else ()))
        return response

    async def answer(self, batch: Batch, _: RowFields, context: CallContext) -> HopAnswer:
        """Returns the same for a caller in this process."""
        outcome: HopOutcome[LookupResult] = await self._runner.run(
            batch, context, self._handler.handle
        )
        found = outcome.result
        answer = outcome.answer(found.columns if found else None)
        if found:
            answer.views = [
                FoundStates(
                    view.view,
                    view.states.tobytes(),
                    b"" if view.element_states is None else view.element_states.tobytes(),
                )
                for view in found.views
            ]
        return answer


def view_message(view: ViewOutcome) -> feature_service_pb2.ViewLookup:
    """Returns what was found of a view as a message."""
    message = feature_service_pb2.ViewLookup(
        view=view.view, states=view.states.tobytes(), age_us=view.age_us.tobytes()
    )
    if view.presence is not None:
        message.presence = view.presence.tobytes()
    if view.element_states is not None:
        message.element_states = view.element_states.tobytes()
    return message
