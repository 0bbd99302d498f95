"""Which element types may feed which, and what can go wrong on the way."""

from __future__ import annotations

import enum

import numpy as np

from tailrace.runtime.columns import DType


class Conversion(enum.Enum):
    """What it takes to turn elements of one type into another."""

    SAFE = "every value has a counterpart, or the nearest float"
    RANGE = "integers may be out of range"
    OVERFLOW = "floats may become infinite"
    REFUSED = "no sensible counterpart"


def conversion(source: DType, target: DType) -> Conversion:
    """Returns what it takes to feed a model input of type `target` from a `source` column.

    A float never feeds an integer, nor a number a bool: what is lost would be lost silently.
    """
    if source is target:
        return Conversion.SAFE
    if source.is_ragged or target.is_ragged:
        # Triton has one type for both, and takes text as UTF-8.
        return Conversion.SAFE if source.is_ragged and target.is_ragged else Conversion.REFUSED
    if target is DType.BOOL:
        return Conversion.REFUSED
    if target.is_floating:
        narrower = target.numpy.itemsize < source.numpy.itemsize
        if source.is_floating:
            return Conversion.OVERFLOW if narrower else Conversion.SAFE
        return Conversion.OVERFLOW if target is DType.FLOAT16 else Conversion.SAFE
    if source.is_floating:
        return Conversion.REFUSED
    safe = np.can_cast(source.numpy, target.numpy, "safe")
    return Conversion.SAFE if safe else Conversion.RANGE
