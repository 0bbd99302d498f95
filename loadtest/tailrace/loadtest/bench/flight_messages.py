"""Serialised requests for flights: what each kind of contender is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tritonclient.grpc import service_pb2

from tailrace.loadtest.bench.flights import Flight
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.v1 import prediction_service_pb2

_TEXT_FIELDS = ("carrier", "tailnum", "origin", "dest")


def messages_of(
    flights: Sequence[Flight], rows: int, serialise: Callable[[Sequence[Flight]], bytes]
) -> Messages:
    """Returns messages of `rows` flights each; a rest that fills none is left out."""
    firsts = range(0, len(flights) - rows + 1, rows)
    return Messages([serialise(flights[first : first + rows]) for first in firsts])


def predict_request(flights: Sequence[Flight]) -> bytes:
    """Returns the request for one flight, as the chains and the mesh take it."""
    (flight,) = flights
    return flight.request.SerializeToString()


def stream_request(flights: Sequence[Flight]) -> bytes:
    """Returns a message of a stream."""
    requests = [flight.request for flight in flights]
    return prediction_service_pb2.PredictStreamRequest(requests=requests).SerializeToString()


def bare_request(model: str) -> Callable[[Sequence[Flight]], bytes]:
    """Returns what makes the request for the bare model: finished features, float32[rows, 29]."""

    def serialise(flights: Sequence[Flight]) -> bytes:
        rows = np.concatenate([flight.row for flight in flights])
        request = service_pb2.ModelInferRequest(
            model_name=model, raw_input_contents=[rows.astype("<f4").tobytes()]
        )
        request.inputs.add(name="features", datatype="FP32", shape=rows.shape)
        return bytes(request.SerializeToString())

    return serialise


def bls_request(model: str) -> Callable[[Sequence[Flight]], bytes]:
    """Returns what makes the request for the BLS model.

    Two tensors: text[rows, 4] with carrier, tail number, origin and destination; numbers[rows, 4]
    with departure and arrival in microseconds since 1970, distance in miles and flight number.
    """

    def serialise(flights: Sequence[Flight]) -> bytes:
        texts = [_text(flight) for flight in flights]
        numbers = np.array([_numbers(flight) for flight in flights], "<f8")
        request = service_pb2.ModelInferRequest(
            model_name=model, raw_input_contents=[b"".join(texts), numbers.tobytes()]
        )
        request.inputs.add(name="text", datatype="BYTES", shape=[len(flights), 4])
        request.inputs.add(name="numbers", datatype="FP64", shape=numbers.shape)
        return bytes(request.SerializeToString())

    return serialise


def _text(flight: Flight) -> bytes:
    values = [flight.request.fields[name].string_value.encode() for name in _TEXT_FIELDS]
    # Each element stands behind its length, four bytes little-endian.
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


def _numbers(flight: Flight) -> list[float]:
    fields = flight.request.fields
    return [
        fields["scheduled_departure"].timestamp_value.ToMicroseconds(),
        fields["scheduled_arrival"].timestamp_value.ToMicroseconds(),
        fields["distance"].double_value,
        fields["flight_number"].int64_value,
    ]
