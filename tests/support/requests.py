"""Requests to the test pipelines, and what their failures say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from tailrace.client.values import to_value
from tailrace.v1 import prediction_service_pb2


def predict_request(
    pipeline: str, fields: Mapping[str, Any], **parts: Any
) -> prediction_service_pb2.PredictRequest:
    """Returns a request with plain Python values as fields."""
    return prediction_service_pb2.PredictRequest(
        pipeline=pipeline,
        fields={name: to_value(value, name) for name, value in fields.items()},
        **parts,
    )


def error_info(error: grpc.RpcError | status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """Returns the ErrorInfo of a failed call or row; fails the test if there is none."""
    if isinstance(error, status_pb2.Status):
        status = error
    else:
        metadata: Any = error.trailing_metadata() or ()
        trailing = dict(metadata)
        assert "grpc-status-details-bin" in trailing, f"no details: {error.details()}"
        status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "tailrace"
            return info
    raise AssertionError(f"no ErrorInfo in {status}")
