"""Triton model: a flight's fields in, the calibrated probability out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import redis

# Triton makes this module; it exists only inside its Python backend.
import triton_python_backend_utils as pb_utils

from tailrace.loadtest.bench.bls.flight_columns import FlightColumns


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the constants from the model's configuration and connects to Redis.

        Args:
            args: what Triton says of the model; its configuration among it.
        """
        parameters = json.loads(args["model_config"])["parameters"]
        constants = json.loads(parameters["flights"]["string_value"])
        self._columns = FlightColumns(constants)
        self._model = constants["model"]
        self._redis = redis.Redis.from_url(constants["redis_url"], single_connection_client=True)
        self._redis.ping()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request, from one MGET and one run of the model over all."""
        texts = [_array(request, "text") for request in requests]
        numbers = [_array(request, "numbers") for request in requests]
        text = texts[0] if len(texts) == 1 else np.concatenate(texts)
        number = numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
        stored = self._redis.mget(self._columns.keys(text, number))
        features = np.concatenate(
            [self._columns.encode(text, number), self._columns.features(stored)], axis=1
        )
        answer = pb_utils.InferenceRequest(
            model_name=self._model,
            inputs=[pb_utils.Tensor("features", features)],
            requested_output_names=["probability"],
        ).exec()
        if answer.has_error():
            raise pb_utils.TritonModelException(answer.error().message())
        raw = pb_utils.get_output_tensor_by_name(answer, "probability").as_numpy()
        probability = self._columns.calibrated(raw)
        late = self._columns.late(probability)
        probability = probability.astype(np.float32)
        responses = []
        first = 0
        for rows in map(len, texts):
            outputs = [
                pb_utils.Tensor("probability", probability[first : first + rows]),
                pb_utils.Tensor("late", late[first : first + rows]),
            ]
            responses.append(pb_utils.InferenceResponse(output_tensors=outputs))
            first += rows
        return responses


def _array(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()
