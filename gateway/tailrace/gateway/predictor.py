"""Predictions without a transport: every way into the gateway ends here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from prometheus_client import Counter

from tailrace.gateway.admission import admit
from tailrace.gateway.chain import Chain
from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.predictions import responses_of
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, TailraceError
from tailrace.runtime.logs import failure_fields, sampled
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.v1 import prediction_service_pb2

Request = prediction_service_pb2.PredictRequest
Response = prediction_service_pb2.PredictResponse
Outcome = Response | TailraceError

_log = structlog.get_logger(__name__)
_PREDICTIONS = Counter(names.PREDICTIONS_TOTAL, "Requests answered.", ["pipeline", "outcome"])
_DEGRADED = Counter(names.DEGRADED_TOTAL, "Answers that were not live.", ["pipeline", "quality"])


class Predictor:
    """Turns requests into responses or errors, one each."""

    def __init__(self, registry: PipelineRegistry[Chain], settings: GatewaySettings) -> None:
        """Keeps the parts."""
        self.registry = registry
        self.max_batch_rows = settings.max_batch_rows
        self._settings = settings

    async def predict(
        self,
        requests: Sequence[Request],
        call_remaining_s: float | None,
        trace: Mapping[str, str],
    ) -> list[Outcome]:
        """Returns one outcome per request, in order.

        Requests for the same pipeline version travel together. Cancelling this call cancels
        the calls to the hops.

        Args:
            requests: at least one.
            call_remaining_s: seconds until the call's deadline, or None if it has none.
            trace: W3C trace headers of the call.
        """
        received_ns = time.monotonic_ns()
        outcomes: dict[int, Outcome] = {}
        convoys: dict[int, tuple[Chain, list[int], list[ConvoyRow]]] = {}
        for place, request in enumerate(requests):
            try:
                chain = self.registry.find(request.pipeline, request.pipeline_version)
                row = admit(
                    request,
                    chain.pipeline.spec.deadline,
                    call_remaining_s,
                    received_ns,
                    self._settings.max_fields,
                    trace,
                )
            except TailraceError as error:
                outcomes[place] = error
                self._account(request.pipeline, request.request_id, error, received_ns)
                continue
            _, places, rows = convoys.setdefault(id(chain), (chain, [], []))
            places.append(place)
            rows.append(row)
        answers = await asyncio.gather(
            *(self._run(chain, rows) for chain, _, rows in convoys.values())
        )
        for (_, places, _), answer in zip(convoys.values(), answers, strict=True):
            outcomes.update(zip(places, answer, strict=True))
        return [outcomes[place] for place in range(len(requests))]

    async def _run(self, chain: Chain, rows: list[ConvoyRow]) -> Sequence[Outcome]:
        convoy = Convoy(chain.pipeline, rows)
        outcomes: Sequence[Outcome]
        try:
            await chain.run(convoy)
            outcomes = responses_of(convoy)
        except asyncio.CancelledError:
            self._account_cancelled(chain.pipeline.name, rows)
            raise
        except Exception as error:  # other convoys of the call are not to blame
            outcomes = [unexpected(error)] * len(rows)
        for row, outcome in zip(rows, outcomes, strict=True):
            self._account(chain.pipeline.name, row.request_id, outcome, row.received_ns)
        return outcomes

    def _account_cancelled(self, pipeline: str, rows: Sequence[ConvoyRow]) -> None:
        # A caller whose deadline passes cancels, often a moment before this process sees it.
        now_ns = time.monotonic_ns()
        for row in rows:
            expired = row.deadline_ns <= now_ns
            error = DeadlineExceeded("the deadline passed") if expired else Cancelled("cancelled")
            self._account(pipeline, row.request_id, row.error or error, row.received_ns)

    def _account(self, pipeline: str, request_id: str, outcome: Outcome, received_ns: int) -> None:
        known = pipeline if pipeline in self.registry else "_OTHER"
        if isinstance(outcome, TailraceError):
            _PREDICTIONS.labels(known, outcome.code.name).inc()
            _log.warning(
                "prediction failed",
                **self._identity(known, request_id, received_ns),
                **failure_fields(outcome),
            )
            return
        _PREDICTIONS.labels(known, "OK").inc()
        degraded = outcome.quality != prediction_service_pb2.QUALITY_LIVE
        quality = prediction_service_pb2.Quality.Name(outcome.quality).removeprefix("QUALITY_")
        if degraded:
            _DEGRADED.labels(known, quality).inc()
        if degraded or sampled(request_id, self._settings.log_sample_rate):
            _log.info(
                "prediction made",
                **self._identity(known, request_id, received_ns),
                **{
                    names.EVENT_OUTCOME: "success",
                    names.PIPELINE_VERSION: outcome.pipeline_version,
                    names.QUALITY: quality,
                },
                **_ledger_fields(outcome),
            )

    def _identity(self, pipeline: str, request_id: str, received_ns: int) -> dict[str, object]:
        return {
            names.REQUEST_ID: request_id[:128],
            names.PIPELINE: pipeline,
            names.EVENT_DURATION_NS: time.monotonic_ns() - received_ns,
        }


def _ledger_fields(response: Response) -> dict[str, int]:
    fields = {names.UNATTRIBUTED_NS: response.ledger.unattributed_ns}
    for entry in response.ledger.entries:
        fields[names.hop_duration_field(entry.hop)] = entry.duration_ns
    return fields
