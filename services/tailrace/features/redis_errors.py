"""How calls to Redis fail."""

from __future__ import annotations

from tailrace.runtime.errors import Reason, Unavailable


class RedisRefused(Unavailable):
    """Redis answered with an error, such as OOM, MISCONF or LOADING.

    Attributes:
        error_code: the first word of the answer.
    """

    default_reason = Reason.FEATURE_STORE_UNAVAILABLE

    def __init__(self, error_code: str) -> None:
        super().__init__(f"the feature store refused: {error_code}")
        self.error_code = error_code


class RedisUnreachable(Unavailable):
    """There is no connection to Redis, or it was lost before the answer came.

    Attributes:
        cause: what happened, in a few words.
    """

    default_reason = Reason.FEATURE_STORE_UNAVAILABLE

    def __init__(self, cause: str) -> None:
        super().__init__(f"the feature store cannot be reached: {cause}")
        self.cause = cause
