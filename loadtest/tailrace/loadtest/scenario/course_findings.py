"""What a scenario's course says beside its loads' objectives."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.finding import Finding
from tailrace.loadtest.scenario.memory import growths
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.runtime.placement import HOPS

_MS = 1e6


def of_search(scenario: Scenario, course: Course) -> Iterator[Finding]:
    """Yields how much it takes at its p99; nothing without a search."""
    knee, search = course.knee, scenario.search
    if knee is None or search is None:
        return
    name = scenario.load(search.load).name
    if not knee.steps:
        yield Finding(name, "no rate was measured", None)
        return
    p99 = f"p99 of {knee.bounds.p99_ns / _MS:g} ms"
    figures = {"capacity": knee.capacity, "p99_ns": knee.bounds.p99_ns}
    wanted = scenario.verdict.capacity
    enough = knee.capacity > 0 and (wanted is None or knee.capacity >= wanted)
    if knee.held is None:
        text = f"no rate keeps a {p99}: {knee.steps[-1].why} at {knee.steps[-1].rate:,.0f}/s"
    elif knee.failed is None:
        text = f"capacity at a {p99}: more than {knee.capacity:,.0f}/s, where the search ended"
    else:
        why = f"at {knee.failed.rate:,.0f}/s {knee.failed.why}"
        late = ", where the generator was late" if knee.failed.generator else ""
        text = f"capacity at a {p99}: {knee.capacity:,.0f}/s ({why}{late})"
    if wanted is not None:
        text += f", wanted {wanted:,.0f}/s"
    yield Finding(name, text, enough, figures)


def of_memory(scenario: Scenario, course: Course) -> Iterator[Finding]:
    """Yields whether processes grew; nothing where nobody asks for it."""
    verdict = scenario.verdict
    if verdict.memory_growth is not None:
        found = growths(course.memory, verdict.memory_growth, verdict.memory_slack_mb)
        if not found:
            text = "memory was not compared: that takes three readings of a mesh started here"
            yield Finding("", text, None)
        for growth in found:
            figures = {"first": growth.first_bytes, "last": growth.last_bytes}
            yield Finding("", growth.text, growth.allowed, figures)


def of_slowest_hop(scenario: Scenario, course: Course) -> Iterator[Finding]:
    """Yields which hop took longest; nothing where nobody asks for it."""
    wanted = scenario.verdict.slowest_hop
    if not wanted:
        return
    for name, result in course.results.items():
        answers = result.tally.answers
        if not isinstance(answers, HopTally):
            continue
        took = {hop: answers.span(hop).percentile(50) for hop in HOPS}
        slowest = max(took, key=lambda hop: took[hop])
        told = ", ".join(f"{hop} {took[hop] / _MS:.1f} ms" for hop in HOPS)
        text = f"the hop that took longest at p50 is {slowest} ({told})"
        yield Finding(name, text, slowest == wanted, {"p50_ns": took})


def of_machine(course: Course) -> Iterator[Finding]:
    """Yields who used the machine, where that is known."""
    use = course.machine
    if use is not None:
        figures = {each: getattr(use, each) for each in ("cores", "used", "mesh", "generator")}
        yield Finding("", use.text, None, {**figures, "others": use.others})
