"""Whether answers became slower while a load lasted, and whether the mesh is why.

A figure is judged as measured, and once more as it would be had the machine stayed as it was in the
first third: the mesh's own part lies between the two. Where both are within the allowance, or both
beyond, that is the verdict. Where they differ, nobody can tell, and it is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.finding import Finding
from tailrace.loadtest.scenario.pace import Expected, Pace, PaceSeries, expected
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.loadtest.scenario.slices import Drift, drift

_MS = 1e6
_PERCENTS = (50, 99)
# CPU of a call that grew by less says nothing.
_GROWN = 0.15


@dataclass(frozen=True, slots=True)
class _Thirds:
    """The machine in the first and in the last third, and calls a second in them."""

    first: Pace
    last: Pace
    cores: int
    first_rate: float
    last_rate: float

    @property
    def work_ratio(self) -> float:
        return self.last.work / self.first.work

    def call_ms(self) -> dict[str, tuple[float, float]]:
        """Returns CPU time of each process of the mesh for a call, in both thirds."""
        first, last = (1e3 / self.first.seconds, 1e3 / self.last.seconds)
        return {
            name: (
                used * first / self.first_rate,
                self.last.mesh_s[name] * last / self.last_rate,
            )
            for name, used in self.first.mesh_s.items()
        }


def of_drift(scenario: Scenario, course: Course) -> Iterator[Finding]:
    """Yields whether answers became slower; nothing where nobody asks for it."""
    allowed = scenario.verdict.drift
    if allowed is None:
        return
    for name, result in course.results.items():
        drifts = drift(result.tally, _PERCENTS)
        thirds = _thirds(course.pace, drifts[0])
        for each in drifts:
            yield _judged(name, each, thirds, allowed / 100)
        if thirds is not None:
            yield _of_machine(name, thirds)
        elif all(each.first_ns and each.last_ns for each in drifts):
            text = "whether the mesh's machine changed meanwhile is not known: that takes a mesh "
            text += "started here whose processes live on, and thirds of 3 s"
            yield Finding(name, text, None)


def _thirds(pace: PaceSeries, one: Drift) -> _Thirds | None:
    first, last = pace.between(*one.first_span), pace.between(*one.last_span)
    if first is None or last is None:
        return None
    first_rate, last_rate = (
        calls / (end - begin)
        for calls, (begin, end) in (
            (one.first_calls, one.first_span),
            (one.last_calls, one.last_span),
        )
    )
    return _Thirds(first, last, pace.cores, first_rate, last_rate)


def _judged(name: str, one: Drift, thirds: _Thirds | None, allowed: float) -> Finding:
    if not (one.first_ns and one.last_ns):
        text = f"p{one.percent:g}: too few answers to compare thirds of the load"
        return Finding(name, text, False)
    bounds = Expected(1.0, 1.0)
    if thirds is not None:
        bounds = expected(thirds.first, thirds.last, thirds.cores, one.percent)
    ratio = 1 + one.ratio
    least = ratio / bounds.most - 1
    most = ratio / bounds.least - 1 if bounds.least else math.inf
    text = (
        f"p{one.percent:g} {one.first_ns / _MS:.1f} ms in the first third, "
        f"{one.last_ns / _MS:.1f} ms in the last ({one.ratio:+.1%}, allowed {allowed * 100:+g} %)"
    )
    passed, failed = most <= allowed, least > allowed
    if failed and thirds is not None:
        text += f": the mesh became slower, {_why(thirds)}"
    elif not passed:
        text += f": not judged, {_whose(one, bounds)}"
    figures = {
        "drift": one.ratio,
        "percentile": one.percent,
        "mesh_least": least,
        "mesh_most": None if math.isinf(most) else most,
        "machine_least": bounds.least,
        "machine_most": None if math.isinf(bounds.most) else bounds.most,
    }
    return Finding(name, text, passed, figures, judged=passed or failed)


def _whose(one: Drift, bounds: Expected) -> str:
    if math.isinf(bounds.most) or not bounds.least:
        return "as other programs left the mesh no core to spare: run it again without them"
    if bounds.least < 1:
        return (
            "as the machine became faster, and hides what the mesh lost: up to "
            f"{(1 + one.ratio) / bounds.least - 1:+.0%}; run it again, for longer"
        )
    return (
        f"as the machine alone may have made it up to {bounds.most - 1:+.0%}: run it again on a "
        "machine that keeps its pace, or for longer"
    )


def _why(thirds: _Thirds) -> str:
    ratio = thirds.work_ratio
    calls = thirds.call_ms()
    grown = {name: later - before * ratio for name, (before, later) in calls.items()}
    more = sum(grown.values())
    if more > _GROWN * ratio * sum(before for before, _ in calls.values()):
        name = max(grown, key=lambda each: grown[each])
        return (
            f"and takes {more:.2f} ms more CPU a call, {grown[name]:.2f} ms of it in {name}: "
            "profile that"
        )
    return (
        "and takes no more CPU a call: it waits, so look for the hop that takes longer, then for "
        "what that waits for"
    )


def _of_machine(name: str, thirds: _Thirds) -> Finding:
    first, last = thirds.first, thirds.last
    calls = thirds.call_ms()
    before, later = (sum(each[place] for each in calls.values()) for place in (0, 1))
    more = f" ({later / before - 1:+.0%})" if before else ""
    text = (
        f"the machine, from the first third to the last: a fixed piece of work took "
        f"{first.work * 1e6:.1f} us of CPU, then {last.work * 1e6:.1f} "
        f"({thirds.work_ratio - 1:+.0%}); other programs {first.other_cores:.2f} of "
        f"{thirds.cores} cores, then {last.other_cores:.2f}; the mesh {before:.2f} ms of CPU a "
        f"call, then {later:.2f}{more}"
    )
    figures = {
        "work_s": [first.work, last.work],
        "other_cores": [first.other_cores, last.other_cores],
        "mesh_ms_a_call": calls,
    }
    return Finding(name, text, None, figures)
