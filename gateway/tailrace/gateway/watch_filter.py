"""Which changes a watch tells."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.runtime.errors import InvalidField, LimitExceeded
from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.records import Change, DeliveryState, State
from tailrace.v1.prediction_service_pb2 import WatchPredictionsRequest

MAX_IDS = 1000
_FINAL = frozenset(state for state in State if state.is_final)


class WatchFilter:
    """What a caller asked to be told.

    Attributes:
        prediction_ids: only these; empty for all.
        partitions: those that these predictions are in, or all of them.
        include_outcomes: whether to tell results, too.
    """

    def __init__(self, request: WatchPredictionsRequest, partitions: int) -> None:
        """Reads the request.

        Args:
            request: as received.
            partitions: how many there are.

        Raises:
            LimitExceeded: it names too many predictions.
            InvalidField: what it names is no prediction, or no state that is told.
        """
        if len(request.prediction_ids) > MAX_IDS:
            raise LimitExceeded(
                f"{len(request.prediction_ids)} ids, at most {MAX_IDS} are allowed",
                field="prediction_ids",
            )
        self.prediction_ids: Sequence[str] = list(dict.fromkeys(request.prediction_ids))
        self.include_outcomes = request.include_outcomes
        self.partitions = sorted(
            {
                _partition(place, each, partitions)
                for place, each in enumerate(request.prediction_ids)
            }
        ) or list(range(partitions))
        for place, state in enumerate(request.states):
            if int(state) not in _FINAL:
                raise InvalidField("only final states are told", field=f"states[{place}]")
        self._ids = frozenset(self.prediction_ids)
        self._states = frozenset(State(state) for state in request.states) or _FINAL
        self._tenant = request.tenant
        self._pipeline = request.pipeline
        self._deliveries = request.deliveries

    def lets_through(self, change: Change) -> bool:
        """Returns whether a change is told."""
        return (
            change.state in self._states
            and (self._deliveries or change.delivery_state is DeliveryState.NONE)
            and (not self._ids or change.prediction_id in self._ids)
            and self._tenant in ("", change.tenant)
            and self._pipeline in ("", change.pipeline)
        )


def _partition(place: int, prediction_id: str, partitions: int) -> int:
    partition = partition_of_id(prediction_id)
    if partition is None or partition >= partitions:
        raise InvalidField("it is not the id of a prediction", field=f"prediction_ids[{place}]")
    return partition
