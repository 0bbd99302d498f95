"""How soon loads were well again, and whether anybody can tell.

What was not well before the trouble, or gets no core of the machine since, cannot show how soon a
mesh recovers: then it is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.finding import Finding
from tailrace.loadtest.scenario.pace import Pace, expected
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.loadtest.scenario.slices import Recovery, bad_share, recovery
from tailrace.loadtest.scenario.slo_objectives import PipelineSlo
from tailrace.loadtest.scenario.verdict_section import RecoverySection

# What a slice of a load may fail of, where its pipeline promises nothing.
_USUAL_ERRORS = 0.01
# Of slices before the trouble: more that are not well, and nothing was well before.
_USUAL_BAD = 0.2


def of_recovery(
    scenario: Scenario, course: Course, slos: Mapping[str, PipelineSlo | None]
) -> Iterator[Finding]:
    """Yields how soon loads were well again; nothing where nobody asks for it.

    Args:
        scenario: what is asked for.
        course: what happened.
        slos: what pipelines promise, by load.
    """
    for section in scenario.verdict.recovery:
        result = course.results.get(section.load)
        if result is not None:
            yield _recovered(section, result, course, slos[section.load] or PipelineSlo())


def _recovered(
    section: RecoverySection, result: RunResult, course: Course, slo: PipelineSlo
) -> Finding:
    p99_ns = section.p99.total_seconds() * 1e9 if section.p99 else slo.p99_ns or float("inf")
    errors = slo.errors or _USUAL_ERRORS
    if section.after is not None:
        since = course.began + section.after.total_seconds()
    elif course.happened:
        since = course.began + course.happened[0][1]
    else:
        since = result.tally.first_ns / 1e9
    found = recovery(result.tally, round(since * 1e9), p99_ns, errors)
    within = section.within.total_seconds()
    text = _text(found, within)
    earlier = course.results.get(section.before) if section.before else result
    before = bad_share(earlier.tally, since * 1e9, p99_ns, errors) if earlier else None
    figures = {
        "seconds": found.seconds,
        "within": within,
        "bad_slices": found.bad,
        "bad_share_before": before,
    }
    if found.seconds is not None and found.seconds <= within:
        return Finding(section.load, text, True, figures)
    why = ""
    if before is not None and before > _USUAL_BAD:
        why = f"as {before:.0%} of the slices before were not well either"
    elif earlier is not None and _starved(course, earlier.tally, since, within):
        why = "as other programs left the mesh no core to spare since"
    if why:
        text = f"{text}: not judged, {why}: run it again on a quieter machine"
    return Finding(section.load, text, False, figures, judged=not why)


def _text(found: Recovery, within: float) -> str:
    of = f"{found.bad} of {found.slices} slices of {found.length_s:g} s were not well"
    if found.seconds is None:
        return f"did not recover within {within:g} s: {of}"
    return f"well again after {found.seconds:.1f} s (allowed {within:g} s): {of}"


def _starved(course: Course, earlier: Tally, since: float, within: float) -> bool:
    """Returns whether a mesh as it was before had no core to spare in half of the time since."""
    # A load that ended earlier says nothing of what the mesh took between its end and the trouble.
    until = min(since, earlier.last_ns / 1e9)
    before: Pace | None = course.pace.between(earlier.first_ns / 1e9, until)
    later = course.pace.between(since, since + within)
    if before is None or later is None:
        return False
    return math.isinf(expected(before, later, course.pace.cores, 50).most)
