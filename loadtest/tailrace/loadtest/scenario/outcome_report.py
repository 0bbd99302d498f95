"""What a scenario came to, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.written_file import written_file
from tailrace.loadtest.scenario.course import Course, short_text, step_text
from tailrace.loadtest.scenario.judgement import Judgement
from tailrace.runtime.placement import HOPS

_MARKS = {True: "ok  ", False: "FAIL", None: "    "}
_UNJUDGED = "????"
_PERCENTS = (50, 90, 95, 99, 99.9)


def write_text(name: str, course: Course, judgement: Judgement, out: TextIO) -> None:
    """Writes what a scenario came to.

    Args:
        name: of the scenario.
        course: what happened.
        judgement: what was found.
        out: where to write.
    """
    width = max((len(load) for load in course.results), default=0)
    out.write(f"\nscenario {name}{' (interrupted)' if course.interrupted else ''}\n")
    for step in course.knee.steps if course.knee else ():
        out.write(f"  {step_text(step)}\n")
    for load, result in course.results.items():
        out.write(f"  {load:{width}}  {short_text(result)}\n")
        hops = result.tally.answers
        if isinstance(hops, HopTally) and hops.answered:
            out.write(f"  {'':{width}}  {_answers_text(hops, result)}\n")
    for text, seconds in course.happened:
        out.write(f"  at {seconds:.1f} s: {text}\n")
    out.write("verdict\n")
    for finding in judgement.findings:
        about = f"{finding.about:{width}}  " if finding.about else ""
        mark = _MARKS[finding.passed] if finding.judged else _UNJUDGED
        out.write(f"  {mark}  {about}{finding.text}\n")
    unjudged = sum(not finding.judged for finding in judgement.findings)
    failed = sum(finding.passed is False for finding in judgement.findings) - unjudged
    asked = sum(finding.passed is not None for finding in judgement.findings)
    if failed:
        more = f", and {unjudged} not judged" if unjudged else ""
        out.write(f"FAILED: {failed} of {asked}{more}\n")
    elif unjudged:
        out.write(f"NOT JUDGED: {unjudged} of {asked}; nothing failed\n")
    elif course.interrupted:
        out.write(f"INTERRUPTED: until then, all {asked} were kept\n")
    else:
        out.write(f"PASSED: all {asked}\n")


def _answers_text(hops: HopTally, result: RunResult) -> str:
    took = " ".join(f"{hop} {hops.span(hop).percentile(99) / 1e6:.1f}" for hop in HOPS)
    return (
        f"goodput {hops.goodput(result.tally.failed):.2%}, LIVE {hops.live:.2%}; "
        f"p99 of hops in ms: {took}"
    )


def outcome_json(name: str, course: Course, judgement: Judgement) -> dict[str, Any]:
    """Returns what a scenario came to. Times are in nanoseconds, or in seconds where they say."""
    return {
        "scenario": name,
        "passed": judgement.passed and not course.interrupted,
        "interrupted": course.interrupted,
        "loads": {load: _load_json(result) for load, result in course.results.items()},
        "search": [
            {
                "rps": step.rate,
                "holds": step.holds,
                "why": step.why,
                "generator_limited": step.generator,
                **_load_json(step.result),
            }
            for step in (course.knee.steps if course.knee else ())
        ],
        "happened": [{"seconds": seconds, "what": text} for text, seconds in course.happened],
        "findings": [
            {
                "about": finding.about,
                "text": finding.text,
                "passed": finding.passed,
                "judged": finding.judged,
                **({"figures": dict(finding.figures)} if finding.figures else {}),
            }
            for finding in judgement.findings
        ],
    }


def _load_json(result: RunResult) -> dict[str, Any]:
    tally, hops = result.tally, result.tally.answers
    figures: dict[str, Any] = {
        "calls": tally.ended,
        "rate": result.rps,
        "failed": tally.failed,
        "statuses": tally.statuses,
        "end_reason": result.end_reason.value,
        "generator_limited": result.limit.limited,
        "generator_cpu_ns": tally.cpu_ns,
        "latency_ns": dict(
            zip(map(str, _PERCENTS), tally.corrected.percentiles(_PERCENTS), strict=True)
        ),
        "uncorrected_ns": dict(
            zip(map(str, _PERCENTS), tally.uncorrected.percentiles(_PERCENTS), strict=True)
        ),
    }
    if isinstance(hops, HopTally):
        figures["goodput"] = hops.goodput(tally.failed)
        figures["qualities"] = hops.qualities
        figures["hops_ns"] = {
            hop: dict(zip(map(str, _PERCENTS), hops.span(hop).percentiles(_PERCENTS), strict=True))
            for hop in HOPS
        }
    return figures


def write_files(
    name: str,
    course: Course,
    judgement: Judgement,
    json_file: Path | None,
    html_folder: Path | None,
) -> None:
    """Writes the files that were asked for, each whole or not at all."""
    if json_file is not None:
        with written_file(json_file) as out:
            json.dump(outcome_json(name, course, judgement), out, indent=2)
            out.write("\n")
    if html_folder is not None:
        from tailrace.loadtest.report.html import write_html

        html_folder.mkdir(exist_ok=True)
        for load, result in course.results.items():
            with written_file(html_folder / f"{load}.html") as out:
                write_html(result, judgement.verdicts[load], [], out)
