"""Answers every row of `features` with its x0, after as many milliseconds.

Requests that Triton has put into one batch wait together, for the longest time among them.
"""

import time

import triton_python_backend_utils as triton


class TritonPythonModel:
    """float32[rows, 4] to float32[rows, 1]."""

    def execute(self, requests):
        """Returns one response per request."""
        delays_ms = [
            triton.get_input_tensor_by_name(request, "features").as_numpy()[:, :1]
            for request in requests
        ]
        time.sleep(max(float(delays.max()) for delays in delays_ms) / 1000)
        return [triton.InferenceResponse([triton.Tensor("score", delays)]) for delays in delays_ms]
