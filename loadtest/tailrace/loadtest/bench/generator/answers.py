"""Reads the scores out of an answer; a load takes it for a sample of the answers only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from tritonclient.grpc import service_pb2

from tailrace.loadtest.bench.generator.orders import Endpoint
from tailrace.loadtest.bench.plain_chain.hops import calibrated
from tailrace.v1 import prediction_service_pb2, tensor_pb2


class Reading(NamedTuple):
    """What an answer says.

    Attributes:
        scores: in the order of the message's rows.
        live: false if the answer calls itself degraded.
        convoy_rows: requests that travelled in the same convoy; 0 where there are no convoys.
    """

    scores: Sequence[float]
    live: bool = True
    convoy_rows: int = 0


Reader: TypeAlias = Callable[[bytes], Reading]


class WrongPlacement(Exception):
    """A hop ran elsewhere than the contender says."""


def answer_reader(endpoint: Endpoint) -> Reader:
    """Returns what reads one message's answer.

    The reader raises WrongPlacement where a ledger tells of another placement.
    """
    match endpoint.answers:
        case "triton":
            return _triton_reader(endpoint.calibration)
        case "chain":
            return _read_chain
        case "mesh":
            return _mesh_reader(endpoint.placement)
        case "mesh_batch":
            return _batch_reader(endpoint.placement)
        case "submitted":
            raise ValueError("answers to submissions are ids")
        case "mesh_stream":
            raise ValueError("answers of a stream belong to several messages")


def response_reading(response: prediction_service_pb2.PredictResponse, placement: int) -> Reading:
    """Returns what one answer of the mesh says.

    Raises:
        WrongPlacement: a hop ran elsewhere, or did not run at all.
    """
    found = {entry.placement for entry in response.ledger.entries}
    if found != {placement}:
        raise WrongPlacement(f"hops ran in the placements {found}, not in {placement}")
    live = response.quality == prediction_service_pb2.QUALITY_LIVE
    score = response.prediction["probability"].double_value
    return Reading([score], live, response.ledger.convoy_rows)


def _triton_reader(calibration: tuple[float, float] | None) -> Reader:
    def read(data: bytes) -> Reading:
        answer = service_pb2.ModelInferResponse.FromString(data)
        names = [output.name for output in answer.outputs]
        raw = answer.raw_output_contents[names.index("probability")]
        scores: list[float] = np.frombuffer(raw, "<f4").tolist()
        if calibration is None:
            return Reading(scores)
        return Reading([calibrated(score, *calibration) for score in scores])

    return read


def _read_chain(data: bytes) -> Reading:
    return Reading(np.frombuffer(tensor_pb2.Tensor.FromString(data).data, "<f4").tolist())


def _mesh_reader(placement: int) -> Reader:
    def read(data: bytes) -> Reading:
        response = prediction_service_pb2.PredictResponse.FromString(data)
        return response_reading(response, placement)

    return read


def _batch_reader(placement: int) -> Reader:
    def read(data: bytes) -> Reading:
        answer = prediction_service_pb2.PredictBatchResponse.FromString(data)
        readings = [
            # Not a number is no score that anybody expects.
            response_reading(result.response, placement)
            if result.WhichOneof("outcome") == "response"
            else Reading([math.nan])
            for result in answer.results
        ]
        scores = [score for reading in readings for score in reading.scores]
        convoy_rows = max([reading.convoy_rows for reading in readings], default=0)
        return Reading(scores, all(reading.live for reading in readings), convoy_rows)

    return read
