"""How many processes a rate needs by what requests cost, and how far that was off."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.loadtest.plan.point import GATEWAY, Point
from tailrace.loadtest.plan.request_costs import ConvoyRates, Cost

# A core that is always busy keeps no latency, whatever was measured.
MAX_UTILISATION = 0.9
# Of the machine: of its CPU time, so much and more is all of it.
_FULL = 0.85
# Of a process: so much too much is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Need:
    """How many processes of a service a rate needs.

    Attributes:
        service: which.
        cost: of its requests.
        rate: predictions a second.
        convoys: in which they travel, a second.
        utilisation: share of a core that each process may use.
        present: processes that it has.
        needed: processes that it needs.
    """

    service: str
    cost: Cost
    rate: float
    convoys: float
    utilisation: float
    present: int
    needed: int

    @property
    def work(self) -> float:
        """Cores that the requests take."""
        return self.cost.work(self.rate, self.convoys)

    @property
    def left(self) -> float:
        """Share of a core that each process has for them."""
        return self.utilisation - self.cost.idle

    @property
    def cores(self) -> float:
        """Cores that they use together at the rate."""
        return self.cost.cores(self.rate, self.convoys, self.needed)


def usable_share(point: Point) -> float:
    """Returns the share of a core that a process may use with the p99 still kept.

    Of the largest rate that kept it, how busy what was busiest was: shown to be kept, so what
    stands below it is. At most `MAX_UTILISATION`.
    """
    return min(point.utilisation, MAX_UTILISATION)


def needs(
    costs: Mapping[str, Cost],
    convoys: ConvoyRates,
    present: Mapping[str, int],
    rate: float,
    utilisation: float,
) -> list[Need]:
    """Returns how many processes of each service a rate needs.

    n processes use idle * n + work cores, and may use utilisation * n: n >= work / (utilisation -
    idle). The work is that of rows and of convoys; of these, more gateways make more.

    Raises:
        ValueError: a process uses more without requests than it may use at all.
    """
    for service, cost in costs.items():
        if utilisation <= cost.idle:
            raise ValueError(
                f"{service} uses {cost.idle:.2f} cores without requests, and may use "
                f"{utilisation:.2f}"
            )
    gateways = present.get(GATEWAY, 1)
    if GATEWAY in costs:
        gateways = _fewest_gateways(costs[GATEWAY], convoys, rate, utilisation)
    rounds = convoys.at(rate, gateways)
    found = []
    for service, cost in costs.items():
        needed = gateways
        if service != GATEWAY:
            work = cost.work(rate, rounds)
            needed = max(1, math.ceil(work / (utilisation - cost.idle) - _ROUNDING))
        found.append(Need(service, cost, rate, rounds, utilisation, present[service], needed))
    return found


def _fewest_gateways(cost: Cost, convoys: ConvoyRates, rate: float, utilisation: float) -> int:
    left = utilisation - cost.idle
    # Were each request alone in its convoy, no more would be needed than so many.
    most = max(1, math.ceil((cost.per_row_s + cost.per_convoy_s) * rate / left))
    return 1 + bisect.bisect_left(
        range(1, most + 1),
        True,
        key=lambda count: cost.work(rate, convoys.at(rate, count)) / left <= count + _ROUNDING,
    )


def predicted_p99(points: Sequence[Point], rate: float) -> float:
    """Returns the p99 at a rate, in nanoseconds: on a line between the measured ones beside it.

    Args:
        points: measured, in any order.
        rate: between the least and the largest of theirs.
    """
    ordered = sorted(points, key=lambda point: point.rate)
    return float(
        np.interp(rate, [point.rate for point in ordered], [point.p99_ns for point in ordered])
    )


def machine_was_the_limit(point: Point) -> bool:
    """Returns whether all of the machine's cores were busy."""
    return point.machine_share >= _FULL


@dataclass(frozen=True, slots=True)
class Check:
    """One figure as predicted, and as measured.

    Attributes:
        name: of what.
        unit: in which both are.
        predicted: before it was measured.
        measured: then.
    """

    name: str
    unit: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """By how much the prediction is off, as a share of what was measured; above 0: too much."""
        return self.predicted / self.measured - 1 if self.measured else math.inf


def check(
    costs: Mapping[str, Cost], convoys: ConvoyRates, points: Sequence[Point], second: Point
) -> list[Check]:
    """Returns what was predicted for a measurement that was no part of the fit, and what it was.

    The machine's utilisation is predicted with what else it did: the generator, and all others.

    Args:
        costs: by service.
        convoys: of the points.
        points: that kept the p99.
        second: what is checked with.
    """
    checks = []
    predicted: dict[str, float] = {}
    rounds = convoys.at(second.rate, second.gateways)
    for service, cost in costs.items():
        predicted[service] = cost.cores(second.rate, rounds, second.processes[service])
        checks.append(Check(service, "cores", predicted[service], second.cores[service]))
    total, measured = sum(predicted.values()), sum(second.cores.values())
    checks.append(Check("all services", "cores", total, measured))
    if second.convoys:
        checks.append(Check("convoys", "/s", rounds, second.convoys))
    busiest = max(predicted[name] / second.processes[name] for name in predicted)
    share = 0.0
    if second.machine_cores:
        share = (second.machine - measured + total) / second.machine_cores
    utilisation = max(busiest, share)
    checks.append(Check("utilisation", "%", utilisation * 100, second.utilisation * 100))
    p99_ms = predicted_p99(points, second.rate) / 1e6
    checks.append(Check("p99", "ms", p99_ms, second.p99_ns / 1e6))
    return checks
