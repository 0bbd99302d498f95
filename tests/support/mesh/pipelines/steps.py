"""User functions of the test pipelines."""

import time

import numpy as np


def wait(delay_ms):
    """Blocks for the longest delay of the batch: a hop slowed on purpose."""
    time.sleep(float(delay_ms.max()) / 1000)
    return delay_ms.astype(np.float32)


def account_of(number):
    """Names the account of each number."""
    return np.array([f"account-{value}" for value in number.tolist()], dtype=object)
