"""Administration of callbacks without a transport."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from tailrace.gateway.callback_spec import (
    apply_spec,
    check_identity,
    live_secrets,
    secret_for,
    spec_scheme,
)
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.errors import Aborted, FailedPrecondition, InvalidField, NotFound, Reason
from tailrace.submissions.callback_record import CallbackRecord, CallbackStore, Secret
from tailrace.submissions.push.destination import registered_destination
from tailrace.submissions.push.sender import Sender
from tailrace.submissions.push.target_rules import TargetRules
from tailrace.submissions.queue_clock import QueueClock
from tailrace.submissions.records import AttemptRecord, DeadReason
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.callback_service_pb2 import (
    ListCallbacksRequest,
    RegisterCallbackRequest,
    RotateCallbackSecretRequest,
    UpdateCallbackRequest,
)

ADMINISTRATOR = "ADMINISTRATOR"
# Dead letters made in one step: Redis does nothing else meanwhile.
KILLED_AT_ONCE = 500
CHANGE_ATTEMPTS = 5
DEFAULT_OVERLAP_MS = 24 * 3_600_000
MAX_OVERLAP_MS = 30 * DEFAULT_OVERLAP_MS
# Each is one more signature of every message, and receivers read a bounded number.
MAX_LIVE_SECRETS = 4
DEFAULT_TEST_TIMEOUT_MS = 15_000

_log = structlog.get_logger(__name__)


class CallbackAdmin:
    """Registers callbacks, and changes them."""

    def __init__(
        self,
        store: SubmissionStore,
        callbacks: CallbackStore,
        sender: Sender,
        changed: Callable[[], None],
        targets: TargetRules,
    ) -> None:
        """Keeps the parts.

        Args:
            store: the queue.
            callbacks: where they are kept.
            sender: makes the attempts of tests.
            changed: called after every change.
            targets: which ones may be called.
        """
        self._store = store
        self._callbacks = callbacks
        self._sender = sender
        self._changed = changed
        self._targets = targets
        self._clock = QueueClock(store)

    async def now_ms(self) -> int:
        """Returns the queue's clock. Raises QueueUnavailable."""
        return await self._clock.asked_ms()

    async def register(self, request: RegisterCallbackRequest) -> tuple[CallbackRecord, str]:
        """Registers a callback; returns it, and the secret that was made if it has to be told.

        Raises:
            InvalidField, PermissionDenied: it cannot be as is wanted.
            AlreadyExists: the tenant has one of that name.
        """
        check_identity(request.tenant, request.name)
        scheme = spec_scheme(request.spec)
        secret, told = secret_for(scheme, request.secret)
        now_ms = await self.now_ms()
        bare = CallbackRecord(
            tenant=request.tenant,
            name=request.name,
            target="",
            scheme=scheme,
            secrets=(secret,),
            attempt_timeout_ms=0,
            max_in_flight=0,
            max_batch=0,
            ordered=False,
            disabled_reason="",
            created_ms=now_ms,
            updated_ms=now_ms,
            revision=0,
        )
        record = apply_spec(bare, request.spec, self._targets)
        await self._callbacks.create(record)
        self._tell("callback registered", record)
        return record, told

    async def update(self, request: UpdateCallbackRequest) -> CallbackRecord:
        """Changes a callback. Raises NotFound, InvalidField, PermissionDenied, Aborted."""

        def updated(record: CallbackRecord) -> CallbackRecord:
            if request.HasField("spec"):
                record = apply_spec(record, request.spec, self._targets)
            return replace(record, disabled_reason="") if request.enable else record

        return await self._change(request.tenant, request.name, "callback changed", updated)

    async def disable(self, tenant: str, name: str) -> CallbackRecord:
        """Disables a callback, and makes dead letters of what is to be delivered to it.

        One that is disabled stays so, and loses what was meant for it since. Raises NotFound.
        """

        def disabled(record: CallbackRecord) -> CallbackRecord:
            return replace(record, disabled_reason=record.disabled_reason or ADMINISTRATOR)

        record = await self._change(tenant, name, "callback disabled", disabled)
        await self._kill_deliveries(record.key, DeadReason.CALLBACK_DISABLED)
        return record

    async def delete(self, tenant: str, name: str) -> None:
        """Deletes a callback, and makes dead letters of what is to be delivered to it.

        Raises:
            NotFound: there is none.
        """
        record = await self.find(tenant, name)
        await self._callbacks.delete(tenant, name)
        self._tell("callback deleted", record)
        await self._kill_deliveries(record.key, DeadReason.CALLBACK_DELETED)

    async def list_all(self, request: ListCallbacksRequest) -> list[CallbackRecord]:
        """Returns callbacks, in order of tenant and name."""
        records = (await self._callbacks.all()).values()
        wanted = [
            record
            for record in records
            if not request.HasField("tenant") or record.tenant == request.tenant
        ]
        return sorted(wanted, key=lambda record: (record.tenant, record.name))

    async def rotate(self, request: RotateCallbackSecretRequest) -> tuple[CallbackRecord, str]:
        """Gives a callback a new secret, and has the one before sign for a while, too.

        Those from before that keep their own time.

        Returns:
            The callback, and the secret that was made if it has to be told.

        Raises:
            NotFound: there is none.
            InvalidField: the secret or the overlap cannot be used.
            FailedPrecondition: as many as may sign at once are not retired yet.
        """
        overlap_ms = DEFAULT_OVERLAP_MS
        if request.HasField("overlap"):
            overlap_ms = request.overlap.seconds * 1000 + request.overlap.nanos // NS_PER_MS
            if not 0 <= overlap_ms <= MAX_OVERLAP_MS:
                raise InvalidField(
                    f"it has to be from 0 to {MAX_OVERLAP_MS // 1000} s", field="overlap"
                )
        scheme = (await self.find(request.tenant, request.name)).scheme
        secret, told = secret_for(scheme, request.secret)
        now_ms = await self.now_ms()

        def rotated(record: CallbackRecord) -> CallbackRecord:
            replaced, *before = record.secrets
            older = Secret(text=replaced.text, retired_ms=now_ms + overlap_ms)
            secrets = live_secrets(replace(record, secrets=(secret, older, *before)), now_ms)
            if len(secrets) > MAX_LIVE_SECRETS:
                raise _too_many_secrets(before)
            return replace(record, secrets=tuple(secrets))

        record = await self._change(
            request.tenant, request.name, "callback secret rotated", rotated
        )
        return record, told

    async def test(self, tenant: str, name: str, call_remaining_s: float | None) -> AttemptRecord:
        """Sends a signed ping to a callback, enabled or not, and returns what came of it.

        Raises:
            NotFound: there is none.
            PermissionDenied: its target may not be called any more.
        """
        record = await self.find(tenant, name)
        destination = registered_destination(record, allow_plaintext=self._targets.allow_plaintext)
        timeout_s = (destination.attempt_timeout_ms or DEFAULT_TEST_TIMEOUT_MS) / 1000
        if call_remaining_s is not None:
            timeout_s = min(timeout_s, call_remaining_s)
        started_ms, began_ns = await self.now_ms(), time.monotonic_ns()
        outcome = await self._sender.ping(destination, started_ms, timeout_s)
        return AttemptRecord(
            attempt=1,
            started_ms=started_ms,
            duration_ms=(time.monotonic_ns() - began_ns) // NS_PER_MS,
            delivered=outcome.delivered,
            result=outcome.result,
        )

    async def find(self, tenant: str, name: str) -> CallbackRecord:
        """Returns a callback. Raises NotFound."""
        record = await self._callbacks.find(tenant, name)
        if record is None:
            raise NotFound(
                f"the tenant has no callback {name[:64]!r}",
                field="name",
                reason=Reason.CALLBACK_NOT_FOUND,
            )
        return record

    async def _change(
        self,
        tenant: str,
        name: str,
        event: str,
        changed: Callable[[CallbackRecord], CallbackRecord],
    ) -> CallbackRecord:
        for attempt in range(CHANGE_ATTEMPTS):
            wanted = changed(await self.find(tenant, name))
            try:
                record = await self._callbacks.replace(
                    replace(wanted, updated_ms=await self.now_ms())
                )
            except Aborted:
                # Another change came in between: this one is made to what it left.
                if attempt == CHANGE_ATTEMPTS - 1:
                    raise
                continue
            self._tell(event, record)
            return record
        raise AssertionError("the last attempt returns or raises")

    async def _kill_deliveries(self, key: str, reason: DeadReason) -> None:
        for partition in range(self._store.partitions):
            killed = KILLED_AT_ONCE
            while killed >= KILLED_AT_ONCE:
                killed = await self._store.kill_deliveries(partition, key, reason, KILLED_AT_ONCE)

    def _tell(self, event: str, record: CallbackRecord) -> None:
        self._changed()
        _log.info(event, **{names.TENANT: record.tenant, names.CALLBACK: record.name})


def _too_many_secrets(older: Iterable[Secret]) -> FailedPrecondition:
    retired_ms = min(secret.retired_ms for secret in older if secret.retired_ms is not None)
    instant = datetime.fromtimestamp(retired_ms / 1000, UTC).isoformat(timespec="seconds")
    return FailedPrecondition(
        f"{MAX_LIVE_SECRETS} secrets sign, which is the most; the next is retired at {instant}",
        field="name",
        reason=Reason.TOO_MANY_SECRETS,
    )
