"""Triton model: a small network in PyTorch, on the CPU or the GPU, as its configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

# Triton makes this module; it exists only inside its Python backend.
import triton_python_backend_utils as pb_utils

_INPUT = "features"
_OUTPUT = "probability"


class Network(torch.nn.Module):
    """Two layers; takes features as they are, missing ones as NaN."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        """Takes weights: mean, scale, hidden_weight, hidden_bias, late_weight, late_bias."""
        super().__init__()
        for name, values in weights.items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Returns the probability of being late, float32[rows, 1], of float32[rows, features]."""
        # Zero is the mean once features are standardised.
        standard = torch.nan_to_num((features - self.mean) / self.scale)
        hidden = torch.tanh(standard @ self.hidden_weight + self.hidden_bias)
        return torch.sigmoid(hidden @ self.late_weight + self.late_bias)


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the weights onto the device of the model's instance group.

        Args:
            args: what Triton says of the model, its instance's device among it.
        """
        on_gpu = args["model_instance_kind"] == "GPU"
        self._device = torch.device(f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")
        torch.set_num_threads(1)
        # TensorFloat-32 would differ from the CPU in the third digit.
        torch.backends.cuda.matmul.allow_tf32 = False
        path = Path(args["model_repository"]) / args["model_version"] / "weights.npz"
        with np.load(path) as weights:
            self._network = Network(dict(weights)).to(self._device).eval()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request, from one run of the network over all of them."""
        inputs = [
            pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy() for request in requests
        ]
        features = torch.from_numpy(np.concatenate(inputs)).to(self._device)
        with torch.inference_mode():
            probability = self._network(features).cpu().numpy()
        responses = []
        first = 0
        for rows in map(len, inputs):
            output = pb_utils.Tensor(_OUTPUT, probability[first : first + rows])
            responses.append(pb_utils.InferenceResponse(output_tensors=[output]))
            first += rows
        return responses
