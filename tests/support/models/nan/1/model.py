"""Answers as badly as each row of `features` asks for in its x0.

0: the row's x1. 1: NaN. 2: infinity. 3 in any row: a tensor of shape [rows, 2].
4 in any row: the request fails.
"""

import numpy as np
import triton_python_backend_utils as triton

_NAN, _INFINITY, _WRONG_SHAPE, _FAIL = 1, 2, 3, 4


class TritonPythonModel:
    """float32[rows, 4] to float32[rows, 1], or so it says."""

    def execute(self, requests):
        """Returns one response per request."""
        return [
            _answer(triton.get_input_tensor_by_name(request, "features").as_numpy())
            for request in requests
        ]


def _answer(features):
    wanted, score = features[:, 0], features[:, 1:2].copy()
    if (wanted == _FAIL).any():
        return triton.InferenceResponse(error=triton.TritonError("the model was told to fail"))
    score[wanted == _NAN] = np.nan
    score[wanted == _INFINITY] = np.inf
    if (wanted == _WRONG_SHAPE).any():
        score = np.repeat(score, 2, axis=1)
    return triton.InferenceResponse([triton.Tensor("score", score)])
