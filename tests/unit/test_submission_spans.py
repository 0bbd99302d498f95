"""Which submissions are told."""

from __future__ import annotations

import time

import pytest

from tailrace.gateway.submission_spans import SubmissionSpans
from tailrace.runtime.errors import (
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    InvalidField,
    Overloaded,
    QueueUnavailable,
    Reason,
    TailraceError,
)
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import new_trace
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.records import State, Submitted
from tests.support.told_spans import ToldSpans, told_spans

TAKEN = Submitted(prediction_id="0-a", state=State.QUEUED, already_submitted=False, created_ms=1)


def _told(outcome: Submitted | TailraceError, *, sampled: bool = False) -> ToldSpans:
    with told_spans(afterwards_per_s=1.0) as told:
        spans = SubmissionSpans(process_tracing())
        for _ in range(2):
            trace = new_trace(sampled)
            spans.take(trace, "r" * 500, "flights", outcome, time.monotonic_ns())
    return told


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("full", reason=Reason.BACKLOG_FULL),
        QueueUnavailable("away"),
        DeadlineExceeded("not confirmed"),
    ],
)
def test_what_the_mesh_has_failed_is_told_afterwards_as_often_as_is_allowed(
    error: TailraceError,
) -> None:
    span = _told(error).one(names.SUBMIT)
    assert (span.code, span.message) == (error.code, error.message)
    assert span.attributes[names.SAMPLED_BY] == "failed"
    assert span.attributes[names.REASON] == error.reason.name
    assert span.attributes[names.REQUEST_ID] == "r" * 128


@pytest.mark.parametrize(
    "outcome", [TAKEN, InvalidField("no"), AlreadyExists("another"), Cancelled("left")]
)
def test_the_others_are_told_only_if_they_are_in_the_sample(
    outcome: Submitted | TailraceError,
) -> None:
    assert not _told(outcome).spans
    assert len(_told(outcome, sampled=True).named(names.SUBMIT)) == 2
