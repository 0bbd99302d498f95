"""What a lookup found of one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.state import FeatureState

_FAILED = int(FeatureState.UNSPECIFIED)


@dataclass(slots=True, eq=False)
class ViewOutcome:
    """What was found of one view.

    Attributes:
        view: name of the view, as the pipeline calls it.
        states: uint8 [rows], a `FeatureState`; 0 for rows that failed. Where keys are lists, the
            worst of a row's elements.
        age_us: int64 [rows], since the features were true, microseconds; -1 where missing. Where
            keys are lists, the age of the oldest element that was found; -1 if none was.
        presence: bool [features, rows], features as declared: whether the store has a value, and
            of all elements where keys are lists; None if it has all of them.
        element_states: where keys are lists: uint8 [rows, elements], a `FeatureState`; 0 for
            elements that a row's list does not have.
    """

    view: str
    states: NDArray[np.uint8]
    age_us: NDArray[np.int64]
    presence: NDArray[np.bool_] | None = None
    element_states: NDArray[np.uint8] | None = None

    def fail(self, rows: Sequence[int]) -> None:
        """Takes out rows that failed."""
        self.states[rows] = _FAILED
        self.age_us[rows] = -1
        if self.presence is not None:
            self.presence[:, rows] = False
        if self.element_states is not None:
            self.element_states[rows] = _FAILED
