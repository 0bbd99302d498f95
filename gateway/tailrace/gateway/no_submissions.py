"""The calls that a gateway without a queue cannot serve: refused, saying what is missing."""

from __future__ import annotations

from typing import Any, NoReturn

from tailrace.runtime.errors import Reason, Unimplemented
from tailrace.v1 import callback_service_pb2_grpc, prediction_service_pb2_grpc


class NoSubmissions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Refuses every submission call. Base of servicers that have, or have not, something better."""

    async def SubmitPrediction(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def SubmitPredictions(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def GetPrediction(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def WatchPredictions(self, request: Any, context: Any) -> NoReturn:  # type: ignore[override]  # written, not iterated
        """Raises Unimplemented."""
        _refuse()

    async def CancelPrediction(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def ListPredictions(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()


class NoCallbacks(callback_service_pb2_grpc.CallbackServiceServicer):
    """Refuses every call about callbacks."""

    async def RegisterCallback(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def UpdateCallback(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def DisableCallback(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def DeleteCallback(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def ListCallbacks(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def TestCallback(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def RotateCallbackSecret(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def ListDeliveryAttempts(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def ListDeadLetters(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()

    async def RedriveDeadLetters(self, request: Any, context: Any) -> NoReturn:
        """Raises Unimplemented."""
        _refuse()


def _refuse() -> NoReturn:
    raise Unimplemented(
        "this gateway takes no submissions: TAILRACE_QUEUE_REDIS_URL is not set",
        reason=Reason.NO_QUEUE,
    )
