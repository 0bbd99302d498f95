"""Dead letters without a transport: listed, and tried again."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from tailrace.gateway.submitted_predictions import MAX_PAGE, checked_page_size
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import FailedPrecondition, InvalidField, NotFound, Reason
from tailrace.submissions.callback_record import CallbackRecord, CallbackStore
from tailrace.submissions.record_message import callback_name
from tailrace.submissions.records import DeadReason, DeliveryState, StoredPrediction
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.callback_service_pb2 import (
    DeadLetterFilter,
    ListDeadLettersRequest,
    RedriveDeadLettersRequest,
)

_REDRIVEN = (DeliveryState.DEAD, DeliveryState.PENDING)

_log = structlog.get_logger(__name__)


class DeadLetters:
    """Answers questions about dead letters, and has them tried again."""

    def __init__(self, store: SubmissionStore, callbacks: CallbackStore) -> None:
        """Keeps the queue, and where callbacks are kept."""
        self._store = store
        self._callbacks = callbacks

    async def attempts(self, prediction_id: str) -> StoredPrediction:
        """Returns a prediction with the latest attempts at delivering it. Raises NotFound."""
        [stored] = await self._store.get([prediction_id], outcomes=False, attempts=True)
        if stored is None:
            raise NotFound(
                "there is no such prediction, or it is kept no longer",
                field="prediction_id",
                reason=Reason.PREDICTION_NOT_FOUND,
            )
        return stored

    async def list_page(
        self, request: ListDeadLettersRequest
    ) -> tuple[list[StoredPrediction], str]:
        """Returns a page of dead letters, and the token of the next one. Raises InvalidField."""
        return await self._page(
            request.filter, checked_page_size(request.page_size), request.page_token, "filter."
        )

    async def redrive(self, request: RedriveDeadLettersRequest) -> int:
        """Tries dead letters again; returns how many. To be repeated where it was cut off.

        The one that is named may also wait for its next attempt, and is due at once then.

        Raises:
            NotFound: the one that is named is no dead letter and waits for no attempt, or its
                callback is deleted.
            FailedPrecondition: the callback of the one that is named is disabled.
            InvalidField: none is named, and no filter is given.
        """
        match request.WhichOneof("which"):
            case "prediction_id":
                await self._redrive_one(request.prediction_id)
                redriven = 1
            case "filter":
                redriven = await self._redrive_all(request.filter)
            case _:
                raise InvalidField("a prediction or a filter is needed", field="which")
        _log.info("dead letters redriven", **{names.ROWS: redriven})
        return redriven

    async def _redrive_one(self, prediction_id: str) -> None:
        stored = await self.attempts(prediction_id)
        if stored.delivery_state in _REDRIVEN and _is_pushed(stored):
            name = callback_name(stored.callback_key)
            _check_callback(name, await self._callbacks.find(stored.tenant, name))
        if not (await self._store.redrive([prediction_id], pending=True))[0]:
            raise NotFound(
                "it is no dead letter, and waits for no attempt to push it",
                field="prediction_id",
                reason=Reason.PREDICTION_NOT_FOUND,
            )

    async def _redrive_all(self, wanted: DeadLetterFilter) -> int:
        callbacks = await self._callbacks.all()
        # What dies again meanwhile is left for another call, or this one might never end.
        began_ms = await self._store.now_ms()
        redriven, token = 0, ""
        while True:
            page, token = await self._page(wanted, MAX_PAGE, token, "filter.")
            ids = [
                stored.prediction_id
                for stored in page
                if died_ms(stored) <= began_ms
                # To one that takes nothing, it would die again at once.
                and (not _is_pushed(stored) or _is_enabled(stored, callbacks))
            ]
            if ids:
                redriven += sum(await self._store.redrive(ids))
            if not token:
                return redriven

    async def _page(
        self, wanted: DeadLetterFilter, page_size: int, page_token: str, path: str
    ) -> tuple[list[StoredPrediction], str]:
        if wanted.reason and wanted.reason not in DeadReason.__members__:
            raise InvalidField(f"the reasons are {', '.join(DeadReason)}", field=f"{path}reason")
        return await self._store.list_dead(
            tenant=wanted.tenant,
            callback=wanted.callback,
            pipeline=wanted.pipeline,
            reason=wanted.reason,
            page_size=page_size,
            page_token=page_token,
        )


def died_ms(stored: StoredPrediction) -> int:
    """Returns when a dead letter was given up, in ms since 1970."""
    if stored.dead_reason == DeadReason.POISON:
        return stored.ended_ms or stored.created_ms
    return stored.delivery_ended_ms or stored.created_ms


def _is_pushed(stored: StoredPrediction) -> bool:
    """Returns whether it is only to be pushed again, to a registered callback."""
    return stored.dead_reason != DeadReason.POISON and "/" in stored.callback_key


def _is_enabled(stored: StoredPrediction, callbacks: Mapping[str, CallbackRecord]) -> bool:
    record = callbacks.get(stored.callback_key)
    return record is not None and record.enabled


def _check_callback(name: str, record: CallbackRecord | None) -> None:
    if record is None:
        raise NotFound(
            f"its callback {name!r} is deleted: register it again, then redrive",
            field="prediction_id",
            reason=Reason.CALLBACK_NOT_FOUND,
        )
    if not record.enabled:
        raise FailedPrecondition(
            f"its callback {name!r} is disabled: {record.disabled_reason}",
            field="prediction_id",
            reason=Reason.CALLBACK_DISABLED,
        )
