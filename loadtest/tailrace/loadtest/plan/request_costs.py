"""What requests cost each service, and in how many convoys they travel.

Much of what a hop does is done once for a convoy, however many rows it carries. Convoys grow with
the rate, so a request costs less at a larger one, and a line through the rates alone would say
that it costs nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.loadtest.plan.point import Point

# Cores below this are not told apart.
_LEAST_CORES = 1e-3


@dataclass(frozen=True, slots=True)
class Cost:
    """What requests cost a service.

    Attributes:
        idle: cores that each of its processes uses without requests.
        per_row_s: CPU time of a request in a convoy, in seconds.
        per_convoy_s: CPU time of a convoy, whatever it carries, in seconds.
    """

    idle: float
    per_row_s: float
    per_convoy_s: float = 0.0

    def work(self, rate: float, convoys: float) -> float:
        """Returns the cores that requests take.

        Args:
            rate: requests a second.
            convoys: in which they travel, a second.
        """
        return self.per_row_s * rate + self.per_convoy_s * convoys

    def cores(self, rate: float, convoys: float, processes: int) -> float:
        """Returns the cores that so many processes use together."""
        return self.idle * processes + self.work(rate, convoys)


class ConvoyRates:
    """How many convoys each gateway makes of a rate."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Takes them from what was measured; between two rates, they lie on a line.

        Args:
            points: measured, in any order.
        """
        found = sorted(
            (point.rate / point.gateways, point.convoys / point.gateways) for point in points
        )
        self._rates = np.array([0.0, *(rate for rate, _ in found)])
        self._convoys = np.array([0.0, *(convoys for _, convoys in found)])

    def at(self, rate: float, gateways: int) -> float:
        """Returns convoys a second, of all gateways; 0 if nothing was told of convoys.

        Beyond the largest rate that was measured, they are as full as there.

        Args:
            rate: requests a second, spread over all of them.
            gateways: processes.
        """
        each, last = rate / gateways, self._rates[-1]
        if each > last:
            return float(self._convoys[-1] / last) * rate
        return float(np.interp(each, self._rates, self._convoys)) * gateways


def fit_costs(points: Sequence[Point]) -> dict[str, Cost]:
    """Returns what requests cost each service, by least squares of relative errors.

    Cores = idle * processes + time of a convoy * convoys/s + time of a row * rate. None of the
    three is less than 0; the convoys' is 0 if nothing was told of them.

    Args:
        points: at two rates at least.

    Raises:
        ValueError: there are fewer than two rates.
    """
    if len({point.rate for point in points}) < 2:
        raise ValueError("a line takes two rates")
    return {name: _fit(points, name) for name in points[0].cores}


def _fit(points: Sequence[Point], name: str) -> Cost:
    used = np.array([point.cores[name] for point in points])
    columns = np.array(
        [(point.processes[name], point.rate, point.convoys) for point in points], np.float64
    )
    weights = 1 / np.maximum(used, _LEAST_CORES)
    idle, row, convoy = _least_squares(columns * weights[:, None], used * weights)
    return Cost(idle, row, convoy)


def _least_squares(columns: NDArray[np.float64], wanted: NDArray[np.float64]) -> list[float]:
    """Returns the factors, none below 0, that come nearest: of all choices which of them are 0.

    Args:
        columns: shape (points, factors).
        wanted: shape (points,).
    """
    count = columns.shape[1]
    best, least = [0.0] * count, float(wanted @ wanted)
    for size in range(1, count + 1):
        for chosen in itertools.combinations(range(count), size):
            some = columns[:, chosen]
            factors, _, rank, _ = np.linalg.lstsq(some, wanted, rcond=None)
            if rank < size or (factors < 0).any():
                continue
            off = wanted - some @ factors
            # More factors have to explain more than what rounding does.
            if float(off @ off) < least * (1 - 1e-9) - 1e-12:
                best, least = [0.0] * count, float(off @ off)
                for place, factor in zip(chosen, factors, strict=True):
                    best[place] = float(factor)
    return best
