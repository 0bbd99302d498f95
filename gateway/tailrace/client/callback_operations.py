"""The calls of callbacks' administration: the message of each, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tailrace.client.callback import (
    Callback,
    CallbackSpec,
    DeadLetter,
    DeliveryAttempt,
    DeliveryHistory,
    RegisteredCallback,
)
from tailrace.client.submission import Delivery
from tailrace.client.submission_request import duration
from tailrace.v1 import callback_service_pb2 as messages

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Operation(Generic[Result]):
    """One call.

    Attributes:
        method: name of the method of `CallbackService`.
        request: what to send.
        result: what an answer means.
    """

    method: str
    request: Any
    result: Callable[[Any], Result]


def register(
    name: str, spec: CallbackSpec, secret: str, tenant: str
) -> Operation[RegisteredCallback]:
    """Registers a callback."""
    request = messages.RegisterCallbackRequest(
        tenant=tenant, name=name, spec=_spec(spec), secret=secret
    )
    return Operation("RegisterCallback", request, _registered)


def update(name: str, spec: CallbackSpec | None, enable: bool, tenant: str) -> Operation[Callback]:
    """Changes a callback, or enables it, or both."""
    request = messages.UpdateCallbackRequest(
        tenant=tenant, name=name, spec=None if spec is None else _spec(spec), enable=enable
    )
    return Operation("UpdateCallback", request, _callback)


def disable(name: str, tenant: str) -> Operation[Callback]:
    """Disables a callback."""
    request = messages.DisableCallbackRequest(tenant=tenant, name=name)
    return Operation("DisableCallback", request, _callback)


def delete(name: str, tenant: str) -> Operation[None]:
    """Deletes a callback."""
    request = messages.DeleteCallbackRequest(tenant=tenant, name=name)
    return Operation("DeleteCallback", request, lambda _: None)


def list_all(tenant: str | None) -> Operation[list[Callback]]:
    """Lists callbacks."""
    request = messages.ListCallbacksRequest(tenant=tenant)
    return Operation(
        "ListCallbacks", request, lambda answer: [*map(Callback.of_message, answer.callbacks)]
    )


def test(name: str, tenant: str) -> Operation[DeliveryAttempt]:
    """Sends a ping."""
    request = messages.TestCallbackRequest(tenant=tenant, name=name)
    return Operation(
        "TestCallback", request, lambda answer: DeliveryAttempt.of_message(answer.attempt)
    )


def rotate(
    name: str, secret: str, overlap_s: float | None, tenant: str
) -> Operation[RegisteredCallback]:
    """Gives a callback a new secret."""
    overlap = None if overlap_s is None else duration(overlap_s)
    request = messages.RotateCallbackSecretRequest(
        tenant=tenant, name=name, secret=secret, overlap=overlap
    )
    return Operation("RotateCallbackSecret", request, _registered)


def attempts(prediction_id: str) -> Operation[DeliveryHistory]:
    """Lists attempts at delivering one prediction."""
    request = messages.ListDeliveryAttemptsRequest(prediction_id=prediction_id)
    return Operation("ListDeliveryAttempts", request, _history)


def dead_letters(
    dead: messages.DeadLetterFilter, page_size: int, page_token: str
) -> Operation[tuple[list[DeadLetter], str]]:
    """Lists a page of dead letters; also the next page's token or ''."""
    request = messages.ListDeadLettersRequest(
        filter=dead, page_size=page_size, page_token=page_token
    )
    return Operation("ListDeadLetters", request, _dead_page)


def redrive(request: messages.RedriveDeadLettersRequest) -> Operation[int]:
    """Tries dead letters again."""
    return Operation("RedriveDeadLetters", request, lambda answer: int(answer.redriven))


def _spec(spec: CallbackSpec) -> messages.CallbackSpec:
    timeout_s = spec.attempt_timeout_s
    return messages.CallbackSpec(
        target=spec.target,
        signature_scheme=spec.scheme.value,  # type: ignore[arg-type]  # a plain number is accepted
        attempt_timeout=None if timeout_s is None else duration(timeout_s),
        max_in_flight=spec.max_in_flight,
        max_batch=spec.max_batch,
        ordered=spec.ordered,
    )


def _callback(answer: Any) -> Callback:
    return Callback.of_message(answer.callback)


def _registered(answer: Any) -> RegisteredCallback:
    return RegisteredCallback(Callback.of_message(answer.callback), answer.secret)


def _history(answer: messages.ListDeliveryAttemptsResponse) -> DeliveryHistory:
    tried = tuple(map(DeliveryAttempt.of_message, answer.attempts))
    return DeliveryHistory(Delivery.of_message(answer.delivery), tried)


def _dead_page(answer: messages.ListDeadLettersResponse) -> tuple[list[DeadLetter], str]:
    return [*map(DeadLetter.of_message, answer.dead_letters)], answer.next_page_token
