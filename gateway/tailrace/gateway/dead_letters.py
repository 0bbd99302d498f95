"""Dead letters without a transport: listed, and tried again."""

from __future__ import annotations

import structlog

from tailrace.gateway.submitted_predictions import MAX_PAGE, checked_page_size
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import InvalidField, NotFound, Reason
from tailrace.submissions.records import DeadReason, StoredPrediction
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.callback_service_pb2 import (
    DeadLetterFilter,
    ListDeadLettersRequest,
    RedriveDeadLettersRequest,
)

_log = structlog.get_logger(__name__)


class DeadLetters:
    """Answers questions about dead letters, and has them tried again."""

    def __init__(self, store: SubmissionStore) -> None:
        """Keeps the queue."""
        self._store = store

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

        Raises:
            NotFound: the one that is named is no dead letter.
            InvalidField: none is named, and no filter is given.
        """
        match request.WhichOneof("which"):
            case "prediction_id":
                if not (await self._store.redrive([request.prediction_id]))[0]:
                    raise NotFound(
                        "there is no such dead letter",
                        field="prediction_id",
                        reason=Reason.PREDICTION_NOT_FOUND,
                    )
                redriven = 1
            case "filter":
                redriven = await self._redrive_all(request.filter)
            case _:
                raise InvalidField("a prediction or a filter is needed", field="which")
        _log.info("dead letters redriven", **{names.ROWS: redriven})
        return redriven

    async def _redrive_all(self, wanted: DeadLetterFilter) -> int:
        # What dies again meanwhile is left for another call, or this one might never end.
        began_ms = await self._store.now_ms()
        redriven, token = 0, ""
        while True:
            page, token = await self._page(wanted, MAX_PAGE, token, "filter.")
            ids = [stored.prediction_id for stored in page if died_ms(stored) <= began_ms]
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
