"""Predictions without a transport: every way into the gateway ends here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from tailrace.gateway.admission import admit
from tailrace.gateway.arrival import Arrival, CallArrival, RefusedRow
from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.deadline_watch import DeadlineWatch
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.gateway.request_spans import RequestSpans
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.v1 import prediction_service_pb2

Request = prediction_service_pb2.PredictRequest
OTHER_PIPELINE = "_OTHER"


class Predictor:
    """Turns requests into responses or errors, exactly one each."""

    def __init__(self, registry: PipelineRegistry[ConvoyFormer], settings: GatewaySettings) -> None:
        """Keeps the parts.

        Args:
            registry: the entrance of every pipeline version.
            settings: limits and sample rate.
        """
        self.registry = registry
        self.max_batch_rows = settings.max_batch_rows
        self._max_fields = settings.max_fields
        self._tracing = process_tracing()
        self._account = OutcomeAccount(settings.log_sample_rate, RequestSpans(self._tracing))
        self._deadlines = DeadlineWatch()

    async def predict(
        self,
        requests: Sequence[Request],
        call_remaining_s: float | None,
        trace: Mapping[str, str],
    ) -> list[Outcome]:
        """Returns one outcome per request, in order.

        Requests for the same pipeline version share convoys, with those of other calls, too.
        Cancelling this call takes its requests out of their convoys.

        Args:
            requests: at least one.
            call_remaining_s: seconds until the call's deadline, or None if it has none.
            trace: W3C trace headers of the call.
        """
        arrival = CallArrival(self._account, len(requests), self._deadlines)
        self._submit(requests, call_remaining_s, trace, arrival, 0)
        return await arrival.outcomes()

    def submit(
        self,
        requests: Sequence[Request],
        call_remaining_s: float | None,
        trace: Mapping[str, str],
        first_place: int,
        deliver: Callable[[int, str, Outcome], None],
        serialised: bytes | None = None,
    ) -> Arrival:
        """Lets requests wait for convoys, and returns at once.

        Args:
            requests: in order.
            call_remaining_s: seconds until the call's deadline, or None if it has none.
            trace: W3C trace headers of the call.
            first_place: place of the first request.
            deliver: takes each outcome, once, with place and id of its request; the first ones
                maybe before this returns.
            serialised: the bytes that the request came in, where it is one.

        Returns:
            What can end them before they have an outcome.
        """
        arrival = Arrival(self._account, deliver, self._deadlines)
        self._submit(requests, call_remaining_s, trace, arrival, first_place, serialised)
        return arrival

    def _submit(
        self,
        requests: Sequence[Request],
        call_remaining_s: float | None,
        trace: Mapping[str, str],
        arrival: Arrival,
        first_place: int,
        serialised: bytes | None = None,
    ) -> None:
        received_ns = time.monotonic_ns()
        groups: dict[int, tuple[ConvoyFormer, list[ConvoyRow]]] = {}
        for place, request in enumerate(requests, first_place):
            own = self._tracing.begin(trace)
            try:
                former = self.registry.find(request.pipeline, request.pipeline_version)
                row = admit(
                    request,
                    former.chain.pipeline.spec.deadline,
                    call_remaining_s,
                    received_ns,
                    self._max_fields,
                    own,
                    serialised,
                )
            except TailraceError as error:
                known = request.pipeline if request.pipeline in self.registry else OTHER_PIPELINE
                refused = RefusedRow(known, request.request_id, received_ns, place, error, own)
                arrival.refuse(refused)
                continue
            arrival.add(row, place)
            group = groups.get(id(former))
            if group is None:
                group = groups[id(former)] = (former, [])
            group[1].append(row)
        for former, rows in groups.values():
            former.submit(rows)
        arrival.watch()
