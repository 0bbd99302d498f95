"""User functions of the test pipelines."""

import time
from typing import Any

import numpy as np


def wait(delay_ms: Any) -> Any:
    """Blocks for the longest delay of the batch: a hop slowed on purpose."""
    time.sleep(float(delay_ms.max()) / 1000)
    return delay_ms.astype(np.float32)


def account_of(number: Any) -> Any:
    """Names the account of each number."""
    return np.array([f"account-{value}" for value in number.tolist()], dtype=object)
