"""Whether a scenario was good enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tailrace.cli.slo.objective import number
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.scenario.answer_readers import TakenIn
from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.course_findings import (
    of_machine,
    of_memory,
    of_search,
    of_slowest_hop,
)
from tailrace.loadtest.scenario.drift_findings import of_drift
from tailrace.loadtest.scenario.finding import Finding
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection
from tailrace.loadtest.scenario.recovery_findings import of_recovery
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.loadtest.scenario.slo_objectives import pipeline_slo
from tailrace.loadtest.verdict.judge import Verdict, judge
from tailrace.loadtest.verdict.objective import Objective, parse_objective
from tailrace.runtime.pipeline.plan import Pipeline

_MS = 1e6


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that was found.

    Attributes:
        findings: in the order in which they are told.
        verdicts: on objectives, by load.
    """

    findings: list[Finding]
    verdicts: dict[str, list[Verdict]]

    @property
    def passed(self) -> bool:
        """True if nothing that was asked for is missing, or could not be judged."""
        return all(finding.passed is not False for finding in self.findings)


class Judge:
    """Holds what a scenario came to against what it asks for, and against its pipelines' SLO."""

    def __init__(self, scenario: Scenario, pipelines: Mapping[str, Pipeline]) -> None:
        """Reads all objectives, before anything is called.

        Args:
            scenario: what is asked for.
            pipelines: by name; those that are not known promise nothing.

        Raises:
            LoadError: an objective cannot be understood.
        """
        self._scenario = scenario
        self._slos = {
            load.name: pipeline_slo(pipelines[load.pipeline].spec.slo)
            if load.pipeline in pipelines
            else None
            for load in scenario.loads
        }
        self._objectives = {load.name: list(self._objectives_of(load)) for load in scenario.loads}

    def judge(self, course: Course) -> Judgement:
        """Returns what was found."""
        verdicts = {
            name: judge(self._objectives[name], result) for name, result in course.results.items()
        }
        findings: list[Finding] = []
        for load in self._scenario.loads:
            if load.name in course.results:
                findings += self._of_load(load, course.results[load.name], verdicts[load.name])
            else:
                findings.append(Finding(load.name, "was not made", None))
        findings += of_search(self._scenario, course)
        findings += of_recovery(self._scenario, course, self._slos)
        findings += of_drift(self._scenario, course)
        findings += of_memory(self._scenario, course)
        findings += self._of_submissions(course)
        findings += of_slowest_hop(self._scenario, course)
        findings += of_machine(course)
        findings += [Finding("", f"ended by itself: {text}", False) for text in course.ended]
        return Judgement(findings, verdicts)

    def _objectives_of(self, load: LoadSection) -> Iterator[Objective]:
        for text in load.slo:
            yield parse_objective(text)
        slo = self._slos[load.name]
        if slo is None or not (self._scenario.verdict.slo and load.judged):
            return
        texts = slo.objectives if load.kind is LoadKind.PREDICT else slo.answers
        for text in texts:
            yield parse_objective(text)

    def _of_load(
        self, load: LoadSection, result: RunResult, verdicts: list[Verdict]
    ) -> Iterator[Finding]:
        slo = self._slos[load.name]
        judged = self._scenario.verdict.slo and load.judged
        if judged and load.pipeline and slo is None:
            yield Finding(load.name, f"{load.pipeline} has no slo that is known here", None)
        for lost in result.lost:
            text = f"only a part of the load was made: {lost.text}"
            yield Finding(load.name, text, False)
        if not result.tally.statuses.get("OK"):
            yield Finding(load.name, "no call was answered OK", False)
        if result.limit.limited:
            text = f"the generator, not the server, was the limit: {result.limit.why}"
            yield Finding(load.name, text, None)
        for verdict in verdicts:
            yield Finding(load.name, verdict.text, verdict.passed, {"measured": verdict.measured})
        if judged and slo is not None:
            for text in slo.untold:
                yield Finding(load.name, f"not told by calls: {text}", None)
        taken = result.tally.answers
        if isinstance(taken, TakenIn):
            text = f"{taken.accepted:,} events accepted, {taken.duplicates:,} duplicates, "
            text += f"{taken.refused:,} refused"
            first = next(iter(taken.problems), "")
            passed = not (taken.refused or taken.unreadable) and taken.accepted > 0
            yield Finding(load.name, f"{text} ({first})" if first else text, passed)

    def _of_submissions(self, course: Course) -> Iterator[Finding]:
        found, deliveries = course.account, course.deliveries
        if not self._scenario.counted:
            return
        name = self._scenario.counted[0].name
        if found is None or deliveries is None:
            yield Finding(name, "results were not counted, as the load was interrupted", None)
            return
        asked = self._scenario.verdict.exactly_once
        text = (
            f"{found.acknowledged:,} acknowledged, {found.arrived:,} of them arrived, "
            f"{found.missing:,} missing, {found.again:,} came again"
        )
        if found.unasked or found.unknown:
            text += f", {found.unasked:,} came unasked, {found.unknown:,} calls without an answer"
        figures = {
            each: getattr(found, each)
            for each in ("acknowledged", "arrived", "missing", "again", "unasked", "unknown")
        }
        yield Finding(name, text, found.exactly_once if asked else None, figures)
        if deliveries.failed:
            yield Finding(name, f"{deliveries.failed:,} results are no predictions", False)
        p50, p99 = deliveries.latencies.percentiles([50, 99])
        text = f"from submission to receiver: p50 {p50 / _MS:.1f} ms, p99 {p99 / _MS:.1f} ms"
        yield Finding(name, text, None, {"p50_ns": p50, "p99_ns": p99})
        slo = self._slos[name]
        for promise in slo.delivery if slo and self._scenario.verdict.slo else ():
            measured = deliveries.deliveries.percentile(promise.percentile)
            text = (
                f"delivered, once final, p{number(promise.percentile)}"
                f"<={number(promise.within_ms)}ms: {measured / _MS:.1f} ms"
            )
            passed = bool(deliveries.ids) and measured <= promise.within_ms * _MS
            yield Finding(name, text, passed, {"measured": measured})
