"""Triton model: runs model.onnx beside this file in ONNX Runtime, on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

# Triton makes this module; it exists only inside its Python backend.
import triton_python_backend_utils as pb_utils

_INPUT = "features"
_OUTPUT = "probability"


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model.

        Args:
            args: what Triton says of the model; the folder of the version among it.
        """
        options = ort.SessionOptions()
        # The model is small: more threads cost more than they bring, and idle ones would
        # spin on cores that other processes need.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request, from one run of the model over all of them."""
        inputs = [
            pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy() for request in requests
        ]
        features = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        (probability,) = self._session.run([_OUTPUT], {_INPUT: features})
        responses = []
        first = 0
        for rows in map(len, inputs):
            output = pb_utils.Tensor(_OUTPUT, probability[first : first + rows])
            responses.append(pb_utils.InferenceResponse(output_tensors=[output]))
            first += rows
        return responses
