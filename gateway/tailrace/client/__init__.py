"""The Python client of the gateway: predictions from a running mesh.

    from datetime import UTC, datetime
    from tailrace.client import Client

    with Client("127.0.0.1:50050") as client:
        prediction = client.predict("flight-delay", {
            "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400.0,
            "scheduled_departure": datetime(2013, 9, 1, 9, 15, tzinfo=UTC),
            "scheduled_arrival": datetime(2013, 9, 1, 12, 29, tzinfo=UTC),
        }, timeout=0.5)
    print(prediction.values, prediction.quality.name, prediction.ledger.total_ms)

`AsyncClient` is the same on asyncio: `async with`, and `await client.predict(...)`.

Who cannot wait submits: `submit` returns once the request is durable, `get_submission` and
`watch_submissions` tell its result, `callbacks` says where to push it, and
`tailrace.client.receiver` receives what is pushed.

`EventClient` and `AsyncEventClient` send events to an event service, for windowed features.

For many rows, `predict_batch` is one call for all of them, and `predict_stream` takes any
iterable, no faster than its results are consumed.

A deadline is always set: `timeout` of the call, else that of the client, else five seconds.
What goes wrong is raised as a `PredictionError`, with a subclass per kind of trouble. The client
needs gRPC and protobuf only; numpy arrays may be passed where numpy is installed.
"""

from __future__ import annotations

from tailrace.client.async_callback_admin import AsyncCallbackAdmin
from tailrace.client.async_client import AsyncClient
from tailrace.client.async_event_client import AsyncEventClient
from tailrace.client.async_watch import AsyncSubmissionWatch
from tailrace.client.callback import (
    Callback,
    CallbackSpec,
    DeadLetter,
    DeliveryAttempt,
    DeliveryHistory,
    RegisteredCallback,
    SignatureScheme,
)
from tailrace.client.callback_admin import CallbackAdmin
from tailrace.client.errors import (
    AccessDenied,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    Overloaded,
    PredictionError,
    ServerFault,
    Unavailable,
)
from tailrace.client.event import Event, EventProblem, EventReport
from tailrace.client.ledger import Ledger, LedgerEntry
from tailrace.client.pipelines import PipelineSummary
from tailrace.client.prediction import Prediction, Quality, QualityReason
from tailrace.client.request import DEFAULT_TIMEOUT_S, Priority
from tailrace.client.stream_book import StreamResult
from tailrace.client.submission import (
    Delivery,
    DeliveryState,
    InlineCallback,
    PredictionChange,
    StoredPrediction,
    Submission,
    SubmissionState,
    SubmittedPrediction,
)
from tailrace.client.sync_client import Client
from tailrace.client.sync_event_client import EventClient
from tailrace.client.sync_watch import SubmissionWatch
from tailrace.client.tensor import Tensor
from tailrace.client.transport import Tls
from tailrace.client.values import Fields, InputValue, PythonValue

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "AsyncCallbackAdmin",
    "AsyncClient",
    "AsyncEventClient",
    "AsyncSubmissionWatch",
    "Callback",
    "CallbackAdmin",
    "CallbackSpec",
    "Client",
    "DEFAULT_TIMEOUT_S",
    "DeadLetter",
    "DeadlineExceeded",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryHistory",
    "DeliveryState",
    "Event",
    "EventClient",
    "EventProblem",
    "EventReport",
    "FailedPrecondition",
    "Fields",
    "InlineCallback",
    "InputValue",
    "InvalidRequest",
    "Ledger",
    "LedgerEntry",
    "NotFound",
    "Overloaded",
    "PipelineSummary",
    "Prediction",
    "PredictionChange",
    "PredictionError",
    "Priority",
    "PythonValue",
    "Quality",
    "QualityReason",
    "RegisteredCallback",
    "ServerFault",
    "SignatureScheme",
    "StoredPrediction",
    "StreamResult",
    "Submission",
    "SubmissionState",
    "SubmissionWatch",
    "SubmittedPrediction",
    "Tensor",
    "Tls",
    "Unavailable",
]
