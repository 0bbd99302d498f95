"""Reads webhooks: headers and body to what a receiver is handed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from google.protobuf import json_format

from tailrace.client.receiver.pushed import Ping, PushedPrediction
from tailrace.v1.prediction_service_pb2 import PredictionRecord
from tailrace.webhooks.errors import MalformedDelivery
from tailrace.webhooks.verifying import Verifier, parse_timestamp, split_signatures

_EVENTS = "prediction."


def read_event(
    verifier: Verifier, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
) -> PushedPrediction | Ping:
    """Returns what a webhook brings, once its signature is verified.

    Args:
        verifier: has the keys.
        headers: of the request, in any case; of a name that comes twice, the last counts.
        body: as received.

    Raises:
        SignatureError: its type says why it is not to be believed.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {name.lower(): value for name, value in pairs}
    delivery_id = found.get("webhook-id", "")
    sent_s = parse_timestamp(found.get("webhook-timestamp", ""))
    signatures = split_signatures(found.get("webhook-signature", ""))
    verifier.verify(delivery_id, sent_s, body, signatures, time.time())
    try:
        content = json.loads(body)
        event = str(content["type"])
        if not event.startswith(_EVENTS):
            return Ping(delivery_id, event)
        record = json_format.ParseDict(
            content["data"], PredictionRecord(), ignore_unknown_fields=True
        )
    # RecursionError is of JSON that is nested without end.
    except (ValueError, KeyError, TypeError, RecursionError, json_format.ParseError) as error:
        raise MalformedDelivery("the body is no event of Tailrace") from error
    return PushedPrediction(
        delivery_id=delivery_id,
        sent_at=datetime.fromtimestamp(sent_s, UTC),
        attempt=None,
        traceparent=found.get("traceparent", ""),
        record=record,
        tracestate=found.get("tracestate", ""),
    )
