"""What requests cost each service, what that means for a rate, and how far it was off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# A core that is always busy keeps no latency, whatever was measured.
MAX_UTILISATION = 0.9
# Of the machine: of its CPU time, so much and more is all of it.
_FULL = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One rate, measured.

    Attributes:
        rate: predictions a second.
        cores: cores used by service: seconds of CPU a second.
        processes: processes by service.
        p99_ns: latency of 99 % of the calls, in nanoseconds.
        held: whether that was within the p99 that is asked for.
        generator: cores that the generator used.
        machine: cores that this machine used, all processes together; 0 where the deployment runs
            elsewhere.
        machine_cores: cores that it has.
        convoy_rows: mean rows of a convoy; 0 if unknown.
        hop_ms: mean time in hops, by hop, in milliseconds.
    """

    rate: float
    cores: Mapping[str, float]
    processes: Mapping[str, int]
    p99_ns: int
    held: bool = True
    generator: float = 0.0
    machine: float = 0.0
    machine_cores: int = 0
    convoy_rows: float = 0.0
    hop_ms: Mapping[str, float]

    @property
    def busiest(self) -> tuple[str, float]:
        """The service whose processes were busiest, and the share of a core that each used."""
        shares = {name: used / self.processes[name] for name, used in self.cores.items()}
        name = max(shares, key=lambda each: shares[each])
        return name, shares[name]

    @property
    def machine_share(self) -> float:
        """Share of the machine's cores that was used, 0 to 1; 0 if it runs elsewhere."""
        return self.machine / self.machine_cores if self.machine_cores else 0.0

    @property
    def others(self) -> float:
        """Cores of this machine that were used by neither the deployment nor the generator."""
        if not self.machine_cores:
            return 0.0
        return max(0.0, self.machine - sum(self.cores.values()) - self.generator)

    @property
    def utilisation(self) -> float:
        """How busy what was busiest was, 0 to 1: a process on its core, or the machine."""
        return max(self.busiest[1], self.machine_share)


@dataclass(frozen=True, slots=True)
class Cost:
    """What requests cost a service.

    Attributes:
        idle: cores that each of its processes uses without requests.
        per_request_s: CPU time of a request, in seconds.
    """

    idle: float
    per_request_s: float

    def cores(self, rate: float, processes: int) -> float:
        """Returns the cores that so many processes use together at a rate."""
        return self.idle * processes + self.per_request_s * rate


@dataclass(frozen=True, slots=True)
class Need:
    """How many processes of a service a rate needs.

    Attributes:
        service: which.
        cost: of its requests.
        rate: predictions a second.
        utilisation: share of a core that each process may use.
        present: processes that it has.
        needed: processes that it needs.
    """

    service: str
    cost: Cost
    rate: float
    utilisation: float
    present: int
    needed: int

    @property
    def cores(self) -> float:
        """Cores that they use together at the rate."""
        return self.cost.cores(self.rate, self.needed)


def fit_costs(points: Sequence[Point]) -> dict[str, Cost]:
    """Returns what requests cost each service: a line through what was measured, by least squares.

    Cores = idle * processes + time of a request * rate. Neither is less than 0.

    Args:
        points: at two rates at least.

    Raises:
        ValueError: there are fewer than two rates.
    """
    if len({point.rate for point in points}) < 2:
        raise ValueError("a line takes two rates")
    return {
        name: _fit(
            [point.rate for point in points],
            [point.cores[name] for point in points],
            [point.processes[name] for point in points],
        )
        for name in points[0].cores
    }


def _fit(rates: Sequence[float], cores: Sequence[float], processes: Sequence[int]) -> Cost:
    columns = np.column_stack([np.asarray(processes, np.float64), np.asarray(rates, np.float64)])
    used = np.asarray(cores, np.float64)
    idle, slope = (float(value) for value in np.linalg.lstsq(columns, used, rcond=None)[0])
    if idle < 0:
        # No process uses less than nothing: a line through 0.
        rate = columns[:, 1]
        return Cost(0.0, float(rate @ used / (rate @ rate)))
    if slope < 0:
        return Cost(float(np.mean(used / columns[:, 0])), 0.0)
    return Cost(idle, slope)


def usable_share(point: Point) -> float:
    """Returns the share of a core that a process may use with the p99 still kept.

    Of the largest rate that kept it, how busy what was busiest was: shown to be kept, so what
    stands below it is. At most `MAX_UTILISATION`.
    """
    return min(point.utilisation, MAX_UTILISATION)


def needs(
    costs: Mapping[str, Cost], present: Mapping[str, int], rate: float, utilisation: float
) -> list[Need]:
    """Returns how many processes of each service a rate needs.

    n processes use idle * n + cost * rate cores, and may use utilisation * n:
    n >= cost * rate / (utilisation - idle).

    Raises:
        ValueError: a process uses more without requests than it may use at all.
    """
    found = []
    for service, cost in costs.items():
        left = utilisation - cost.idle
        if left <= 0:
            raise ValueError(
                f"{service} uses {cost.idle:.2f} cores without requests, and may use "
                f"{utilisation:.2f}"
            )
        # A millionth of a process too much is rounding.
        needed = max(1, math.ceil(cost.per_request_s * rate / left - 1e-6))
        found.append(Need(service, cost, rate, utilisation, present[service], needed))
    return found


def fit_p99(points: Sequence[Point]) -> float:
    """Returns s of p99 = s / (1 - utilisation), the median over what was measured, in nanoseconds.

    The form is that of a single server's queue (M/M/1: percentiles of the time in system are those
    of an exponential with the rate mu - lambda = mu * (1 - rho)).
    """
    return float(np.median([point.p99_ns * (1 - min(point.utilisation, 0.99)) for point in points]))


def predicted_p99(scale_ns: float, utilisation: float) -> float:
    """Returns s / (1 - utilisation), in nanoseconds."""
    return scale_ns / (1 - min(utilisation, 0.99))


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


def check(costs: Mapping[str, Cost], scale_ns: float, point: Point) -> list[Check]:
    """Returns what was predicted for a point that was measured, and was no part of the fit.

    The machine's utilisation is predicted with what else it did: the generator, and all others.
    """
    checks = []
    predicted: dict[str, float] = {}
    for service, cost in costs.items():
        predicted[service] = cost.cores(point.rate, point.processes[service])
        checks.append(Check(service, "cores", predicted[service], point.cores[service]))
    total, measured = sum(predicted.values()), sum(point.cores.values())
    checks.append(Check("all services", "cores", total, measured))
    busiest = max(predicted[name] / point.processes[name] for name in predicted)
    share = 0.0
    if point.machine_cores:
        share = (point.machine - measured + total) / point.machine_cores
    utilisation = max(busiest, share)
    checks.append(Check("utilisation", "%", utilisation * 100, point.utilisation * 100))
    p99_ms = predicted_p99(scale_ns, utilisation) / 1e6
    checks.append(Check("p99", "ms", p99_ms, point.p99_ns / 1e6))
    return checks
