"""How a receiver treats what it is sent: mostly well, and by a seed otherwise."""

from __future__ import annotations

import enum
import hashlib
import random
from dataclasses import dataclass


class Reaction(enum.Enum):
    """What becomes of one delivery."""

    CONFIRM = "it is taken, and this is said"
    REFUSE = "it is not taken"
    LOSE_ANSWER = "it is taken, and the answer says otherwise"


@dataclass(frozen=True, kw_only=True)
class TemperSettings:
    """How often a receiver does what; shares of 1.

    Attributes:
        refusing: deliveries that are not taken.
        losing: deliveries that are taken, and answered with an error.
        slow: deliveries that take `slow_s` at most.
        hanging: deliveries that take `hang_s`, longer than the courier waits.
        never: predictions that are not taken however often they come.
    """

    refusing: float = 0.05
    losing: float = 0.03
    slow: float = 0.05
    hanging: float = 0.002
    never: float = 0.02
    slow_s: float = 0.2
    hang_s: float = 2.0


CALM = TemperSettings(refusing=0, losing=0, slow=0, hanging=0, never=0)


class Temper:
    """Decides how one delivery after the other is treated."""

    def __init__(self, seed: int, settings: TemperSettings) -> None:
        self._random = random.Random(seed)
        self._settings = settings

    def reaction(self, prediction_id: str) -> Reaction:
        """Returns what becomes of the next delivery."""
        if never_taken(prediction_id, self._settings.never):
            return Reaction.REFUSE
        drawn = self._random.random()
        if drawn < self._settings.refusing:
            return Reaction.REFUSE
        if drawn < self._settings.refusing + self._settings.losing:
            return Reaction.LOSE_ANSWER
        return Reaction.CONFIRM

    def delay_s(self) -> float:
        """Returns how long the next answer takes."""
        drawn = self._random.random()
        if drawn < self._settings.hanging:
            return self._settings.hang_s
        if drawn < self._settings.hanging + self._settings.slow:
            return self._random.uniform(0.0, self._settings.slow_s)
        return 0.0


def never_taken(prediction_id: str, share: float) -> bool:
    """Returns whether a prediction is one of the share that no receiver ever takes."""
    drawn = int.from_bytes(hashlib.sha256(prediction_id.encode()).digest()[:4]) / 2**32
    return drawn < share
