"""Administration of callbacks, for programs without asyncio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from tailrace.client import callback_operations as operations
from tailrace.client.callback import (
    Callback,
    CallbackSpec,
    DeadLetter,
    DeliveryAttempt,
    DeliveryHistory,
    RegisteredCallback,
)
from tailrace.client.callback_operations import Operation
from tailrace.v1.callback_service_pb2 import DeadLetterFilter, RedriveDeadLettersRequest

Result = TypeVar("Result")
_PAGE_SIZE = 1000


class _Runs(Protocol):
    def __call__(self, operation: Operation[Result], timeout: float | None) -> Result: ...


class CallbackAdmin:
    """Registers and looks after callbacks; `Client.callbacks` is one.

    A `timeout` is the deadline of a call in seconds; None means the client's. Every method raises
    PredictionError if the call fails: `NotFound` for a callback or a prediction that is not there.
    No call is repeated.
    """

    def __init__(self, run: _Runs) -> None:
        """Takes what makes a call; `Client.callbacks` does this."""
        self._run = run

    def register(
        self,
        name: str,
        spec: CallbackSpec,
        *,
        secret: str = "",
        tenant: str = "",
        timeout: float | None = None,
    ) -> RegisteredCallback:
        """Registers a callback.

        Args:
            name: letters, digits, `-`, `_` and `.`, at most 64 characters.
            spec: what it is to be.
            secret: to sign with; empty means that one is made, which is told only in the answer.
            tenant: whose it is; may be empty.
            timeout: see the class.

        Raises:
            AlreadyExists: the tenant has one of that name.
        """
        return self._run(operations.register(name, spec, secret, tenant), timeout)

    def update(
        self,
        name: str,
        spec: CallbackSpec | None = None,
        *,
        enable: bool = False,
        tenant: str = "",
        timeout: float | None = None,
    ) -> Callback:
        """Replaces all that was set of a callback, enables it if it was disabled, or both."""
        return self._run(operations.update(name, spec, enable, tenant), timeout)

    def enable(self, name: str, *, tenant: str = "", timeout: float | None = None) -> Callback:
        """Enables a callback that was disabled."""
        return self.update(name, enable=True, tenant=tenant, timeout=timeout)

    def disable(self, name: str, *, tenant: str = "", timeout: float | None = None) -> Callback:
        """Disables a callback: what is to be delivered to it becomes a dead letter."""
        return self._run(operations.disable(name, tenant), timeout)

    def delete(self, name: str, *, tenant: str = "", timeout: float | None = None) -> None:
        """Deletes a callback: what is to be delivered to it becomes a dead letter."""
        self._run(operations.delete(name, tenant), timeout)

    def list_all(
        self, *, tenant: str | None = None, timeout: float | None = None
    ) -> list[Callback]:
        """Returns callbacks by tenant and name; None means those of all tenants."""
        return self._run(operations.list_all(tenant), timeout)

    def test(self, name: str, *, tenant: str = "", timeout: float | None = None) -> DeliveryAttempt:
        """Sends a signed ping, and returns what came of it."""
        return self._run(operations.test(name, tenant), timeout)

    def rotate(
        self,
        name: str,
        *,
        secret: str = "",
        overlap_s: float | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> RegisteredCallback:
        """Gives a callback a new secret.

        Args:
            name: which callback.
            secret: to sign with; empty means that one is made, which is told only in the answer.
            overlap_s: how long the old secret signs, too, in seconds; None means 24 hours.
            tenant: whose it is.
            timeout: see the class.
        """
        return self._run(operations.rotate(name, secret, overlap_s, tenant), timeout)

    def attempts(self, prediction_id: str, *, timeout: float | None = None) -> DeliveryHistory:
        """Returns the attempts at delivering one prediction."""
        return self._run(operations.attempts(prediction_id), timeout)

    def dead_letters(
        self,
        *,
        tenant: str = "",
        callback: str = "",
        pipeline: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> Iterator[DeadLetter]:
        """Yields dead letters, oldest first within each partition of the queue.

        Args:
            tenant: only those of this tenant; empty means all, as for the others.
            callback: only those for this callback.
            pipeline: only those of this pipeline.
            reason: only those with this reason.
            timeout: of each page; see the class.
        """
        dead = DeadLetterFilter(tenant=tenant, callback=callback, pipeline=pipeline, reason=reason)
        token = ""
        while True:
            page, token = self._run(operations.dead_letters(dead, _PAGE_SIZE, token), timeout)
            yield from page
            if not token:
                return

    def redrive(self, prediction_id: str, *, timeout: float | None = None) -> int:
        """Tries to push one prediction at once: a dead letter, or one that waits for its next try.

        Raises:
            PredictionError: `NotFound` if it is neither, or if its callback is deleted;
                FAILED_PRECONDITION if its callback is disabled.
        """
        request = RedriveDeadLettersRequest(prediction_id=prediction_id)
        return self._run(operations.redrive(request), timeout)

    def redrive_all(
        self,
        *,
        tenant: str = "",
        callback: str = "",
        pipeline: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> int:
        """Tries all dead letters again that a filter lets through, as in `dead_letters`.

        Returns:
            How many there were.
        """
        dead = DeadLetterFilter(tenant=tenant, callback=callback, pipeline=pipeline, reason=reason)
        return self._run(operations.redrive(RedriveDeadLettersRequest(filter=dead)), timeout)
