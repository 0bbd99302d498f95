"""`CallbackService` over gRPC."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tailrace.gateway.callback_admin import CallbackAdmin
from tailrace.gateway.callback_spec import callback_message
from tailrace.gateway.dead_letters import DeadLetters, died_ms
from tailrace.submissions.callback_record import CallbackRecord
from tailrace.submissions.record_message import delivery_status, prediction_record, timestamp
from tailrace.submissions.records import AttemptRecord
from tailrace.v1 import callback_service_pb2 as messages
from tailrace.v1 import callback_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class CallbackServicer(callback_service_pb2_grpc.CallbackServiceServicer):
    """Translates between gRPC and the administration of callbacks."""

    def __init__(self, admin: CallbackAdmin, dead_letters: DeadLetters) -> None:
        """Keeps the parts."""
        self._admin = admin
        self._dead_letters = dead_letters

    async def RegisterCallback(
        self, request: messages.RegisterCallbackRequest, context: Context
    ) -> messages.RegisterCallbackResponse:
        """Registers a callback. Raises TailraceError."""
        record, told = await self._admin.register(request)
        return messages.RegisterCallbackResponse(callback=await self._message(record), secret=told)

    async def UpdateCallback(
        self, request: messages.UpdateCallbackRequest, context: Context
    ) -> messages.UpdateCallbackResponse:
        """Changes a callback. Raises TailraceError."""
        record = await self._admin.update(request)
        return messages.UpdateCallbackResponse(callback=await self._message(record))

    async def DisableCallback(
        self, request: messages.DisableCallbackRequest, context: Context
    ) -> messages.DisableCallbackResponse:
        """Disables a callback. Raises NotFound."""
        record = await self._admin.disable(request.tenant, request.name)
        return messages.DisableCallbackResponse(callback=await self._message(record))

    async def DeleteCallback(
        self, request: messages.DeleteCallbackRequest, context: Context
    ) -> messages.DeleteCallbackResponse:
        """Deletes a callback. Raises NotFound."""
        await self._admin.delete(request.tenant, request.name)
        return messages.DeleteCallbackResponse()

    async def ListCallbacks(
        self, request: messages.ListCallbacksRequest, context: Context
    ) -> messages.ListCallbacksResponse:
        """Lists callbacks."""
        records = await self._admin.list_all(request)
        now_ms = await self._admin.now_ms()
        return messages.ListCallbacksResponse(
            callbacks=[callback_message(record, now_ms) for record in records]
        )

    async def TestCallback(
        self, request: messages.TestCallbackRequest, context: Context
    ) -> messages.TestCallbackResponse:
        """Sends a ping to a callback. Raises NotFound, PermissionDenied."""
        attempt = await self._admin.test(request.tenant, request.name, context.time_remaining())
        return messages.TestCallbackResponse(attempt=_attempt_message(attempt))

    async def RotateCallbackSecret(
        self, request: messages.RotateCallbackSecretRequest, context: Context
    ) -> messages.RotateCallbackSecretResponse:
        """Gives a callback a new secret. Raises NotFound, InvalidField."""
        record, told = await self._admin.rotate(request)
        return messages.RotateCallbackSecretResponse(
            callback=await self._message(record), secret=told
        )

    async def ListDeliveryAttempts(
        self, request: messages.ListDeliveryAttemptsRequest, context: Context
    ) -> messages.ListDeliveryAttemptsResponse:
        """Lists the attempts at delivering a prediction. Raises NotFound."""
        stored = await self._dead_letters.attempts(request.prediction_id)
        return messages.ListDeliveryAttemptsResponse(
            delivery=delivery_status(stored),
            attempts=[_attempt_message(attempt) for attempt in stored.attempts],
        )

    async def ListDeadLetters(
        self, request: messages.ListDeadLettersRequest, context: Context
    ) -> messages.ListDeadLettersResponse:
        """Lists dead letters. Raises InvalidField."""
        page, token = await self._dead_letters.list_page(request)
        return messages.ListDeadLettersResponse(
            dead_letters=[
                messages.DeadLetter(
                    prediction=prediction_record(stored, outcome=False),
                    reason=stored.dead_reason,
                    dead_time=timestamp(died_ms(stored)),
                )
                for stored in page
            ],
            next_page_token=token,
        )

    async def RedriveDeadLetters(
        self, request: messages.RedriveDeadLettersRequest, context: Context
    ) -> messages.RedriveDeadLettersResponse:
        """Tries dead letters again. Raises NotFound, InvalidField."""
        return messages.RedriveDeadLettersResponse(
            redriven=await self._dead_letters.redrive(request)
        )

    async def _message(self, record: CallbackRecord) -> messages.Callback:
        return callback_message(record, await self._admin.now_ms())


def _attempt_message(attempt: AttemptRecord) -> messages.DeliveryAttempt:
    message = messages.DeliveryAttempt(
        attempt=attempt.attempt,
        start_time=timestamp(attempt.started_ms),
        delivered=attempt.delivered,
        result=attempt.result,
    )
    message.duration.FromMilliseconds(attempt.duration_ms)
    return message
