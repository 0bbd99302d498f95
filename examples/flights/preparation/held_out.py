"""The held-out sample: requests to send, with what came of them and what to expect."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.flights import REQUEST_FIELDS

SAMPLE_ROWS = 10_000


def held_out_sample(flights: pd.DataFrame, probability: NDArray[np.float64]) -> pd.DataFrame:
    """Returns some of the flights, drawn evenly, in order of scheduled departure.

    Args:
        flights: the flights held out, as `arrived_flights` returns them.
        probability: float64[flights], what the trees say of each, not calibrated.

    Returns:
        `REQUEST_FIELDS`; late (bool), what happened; expected_probability (float64), what the
        trained model says, which the served model's output must equal to 1e-5.
    """
    generator = np.random.default_rng(7)
    places = np.sort(generator.choice(len(flights), SAMPLE_ROWS, replace=False))
    sample = flights.iloc[places][[*REQUEST_FIELDS, "late"]].reset_index(drop=True)
    sample["expected_probability"] = probability[places]
    return sample
