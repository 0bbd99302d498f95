"""Answers every row of `features` with 1*x0 + 10*x1 + 100*x2 + 1000*x3."""

import numpy as np
import triton_python_backend_utils as triton

# Not a plain sum: columns in the wrong order must show.
_WEIGHTS = np.array([[1.0], [10.0], [100.0], [1000.0]], dtype=np.float32)


class TritonPythonModel:
    """float32[rows, 4] to float32[rows, 1]."""

    def execute(self, requests):
        """Returns one response per request."""
        responses = []
        for request in requests:
            features = triton.get_input_tensor_by_name(request, "features").as_numpy()
            score = triton.Tensor("score", features @ _WEIGHTS)
            responses.append(triton.InferenceResponse([score]))
        return responses
