"""Submissions of which nobody knows whether they were accepted, and how to repeat them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import grpc

from tailrace.client.errors import PredictionError
from tailrace.client.retrying import NothingSent

_LEAVES_OPEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@contextlib.contextmanager
def submitting(idempotency_key: str) -> Iterator[None]:
    """Has errors that leave it open whether a submission was accepted say so, with its key.

    Args:
        idempotency_key: that it is sent with; empty if with none.
    """
    try:
        yield
    except PredictionError as error:
        error.idempotency_key = in_doubt(error, idempotency_key).idempotency_key
        raise


def in_doubt(error: PredictionError, idempotency_key: str) -> PredictionError:
    """Returns the error of one submission; a copy with the key if it may have been accepted."""
    if error.code not in _LEAVES_OPEN or isinstance(error, NothingSent):
        return error
    told = copy.copy(error)
    told.idempotency_key = idempotency_key
    return told
