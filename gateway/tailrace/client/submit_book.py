"""The bookkeeping of many submissions: which are sent next, and what became of each.

It knows neither sockets, threads nor event loops; the clients ask it what to do next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tailrace.client.errors import PredictionError, ServerFault, Unavailable, error_of_status
from tailrace.client.retrying import Retrying
from tailrace.client.submission import Submission, SubmittedPrediction
from tailrace.client.submission_request import submission_message
from tailrace.client.submit_doubt import in_doubt
from tailrace.v1 import prediction_service_pb2 as messages


class SubmitBook:
    """Many submissions; each has an outcome in the end, and none is sent twice without a key."""

    def __init__(
        self,
        submissions: Iterable[Submission],
        *,
        retry: bool,
        per_message: int,
        retrying: Retrying,
    ) -> None:
        """Builds the messages; those that cannot be sent have their outcome at once.

        Args:
            submissions: what to submit.
            retry: whether what is UNAVAILABLE is sent again.
            per_message: most submissions of one message.
            retrying: when.

        Raises:
            ValueError: no submission fits into a message.
        """
        if per_message < 1:
            raise ValueError(f"per_message is at least 1, not {per_message}")
        self._retry = retry
        self._per_message = per_message
        self._retrying = retrying
        self._waiting: deque[tuple[int, messages.Submission]] = deque()
        self._sent: list[tuple[int, messages.Submission]] = []
        self._again: list[tuple[int, messages.Submission]] = []
        self._outcomes: dict[int, SubmittedPrediction | PredictionError] = {}
        self._trouble: PredictionError | None = None
        self._count = 0
        for place, submission in enumerate(submissions):
            self._count += 1
            try:
                message = submission_message(submission, needs_key=retry)
            except PredictionError as error:
                self._outcomes[place] = error
            else:
                self._waiting.append((place, message))

    def next_message(self) -> messages.SubmitPredictionsRequest | None:
        """Returns what to send now; None if nothing is left to send before a pause."""
        count = min(self._per_message, len(self._waiting))
        self._sent = [self._waiting.popleft() for _ in range(count)]
        if not self._sent:
            return None
        return messages.SubmitPredictionsRequest(submissions=[sent for _, sent in self._sent])

    def answered(self, response: messages.SubmitPredictionsResponse) -> None:
        """Takes the answer to the last message."""
        if len(response.results) != len(self._sent):
            self.failed(
                ServerFault(f"{len(response.results)} results for {len(self._sent)} submissions")
            )
            return
        for (place, sent), result in zip(self._sent, response.results, strict=True):
            outcome = _outcome(result, sent.request.request_id)
            if isinstance(outcome, Unavailable) and self._retry:
                self._again.append((place, sent))
                self._trouble = outcome
            if isinstance(outcome, PredictionError):
                outcome = in_doubt(outcome, sent.idempotency_key)
            self._outcomes[place] = outcome

    def failed(self, error: PredictionError) -> None:
        """Takes the failure of the last message as a whole: of all submissions in it."""
        for place, sent in self._sent:
            self._outcomes[place] = in_doubt(error, sent.idempotency_key)
            if isinstance(error, Unavailable) and self._retry:
                self._again.append((place, sent))
                self._trouble = error

    def pause_s(self) -> float | None:
        """Returns how long to wait before sending again, in seconds; None if there is no more."""
        if self._trouble is None:
            return None
        try:
            pause_s = self._retrying.pause_s(self._trouble)
        except PredictionError:
            return None
        self._waiting.extend(self._again)
        self._again, self._trouble = [], None
        return pause_s

    def outcomes(self) -> list[SubmittedPrediction | PredictionError]:
        """Returns what became of each submission, in order."""
        return [self._outcomes[place] for place in range(self._count)]

    def deadline_s(self) -> float | None:
        """Returns the time left for the last message; None where it came too late to be sent."""
        try:
            return self._retrying.remaining_s()
        except PredictionError as error:
            for place, _ in self._sent:
                self._outcomes.setdefault(place, error)
            return None


def _outcome(
    result: messages.SubmitPredictionsResult, request_id: str
) -> SubmittedPrediction | PredictionError:
    outcome = result.WhichOneof("outcome")
    if outcome == "submitted":
        return SubmittedPrediction.of_message(result.submitted)
    if outcome == "error":
        return error_of_status(result.error, request_id)
    return ServerFault("a result without an id or an error", request_id=request_id)
