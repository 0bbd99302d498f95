"""Sigmoid and Platt calibration."""

from __future__ import annotations

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.elementwise import ElementwiseStep
from tailrace.runtime.steps.step_table import Blame

# A probability of 0 or 1 has no finite logit: it is moved inwards by the distance from 1 to the
# next float32, which is about as exact as a model's float32 output is near 1.
EPSILON = float(np.finfo(np.float32).eps)


def sigmoid(values: Array) -> Array:
    """Returns 1 / (1 + exp(-x)) without overflow, exact in both tails."""
    result: Array = np.exp(-np.logaddexp(0.0, -values))
    return result


def logit(probabilities: Array) -> Array:
    """Returns ln(p / (1 - p)), with p first limited to [EPSILON, 1 - EPSILON]."""
    inside = np.clip(probabilities, EPSILON, 1 - EPSILON)
    result: Array = np.log(inside) - np.log1p(-inside)
    return result


def platt_step(
    input_name: str, output: str, dtype: DType, a: float, b: float, blame: Blame
) -> ElementwiseStep:
    """Returns the step sigmoid(a * logit(p) + b) (Platt, 1999), in float64.

    p of 0 and 1 are limited as `logit` says, so the answer is never exactly 0 or 1 for moderate
    a and b. A value outside [0, 1] fails its row. Null and NaN stay so.
    """
    return ElementwiseStep(
        input_name,
        output,
        dtype,
        lambda p: sigmoid(a * logit(p) + b),
        blame,
        refuse=lambda p: (p < 0) | (p > 1),
        expected="found a value outside 0 to 1, expected a probability",
    )


def sigmoid_step(input_name: str, output: str, dtype: DType, blame: Blame) -> ElementwiseStep:
    """Returns the step 1 / (1 + exp(-x)). Null and NaN stay so."""
    return ElementwiseStep(input_name, output, dtype, sigmoid, blame)


def scale_step(
    input_name: str, output: str, dtype: DType, factor: float, offset: float, blame: Blame
) -> ElementwiseStep:
    """Returns the step x * factor + offset. Null and NaN stay so."""
    return ElementwiseStep(input_name, output, dtype, lambda x: x * factor + offset, blame)
