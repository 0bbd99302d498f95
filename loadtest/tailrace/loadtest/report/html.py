"""The HTML report: one file, with everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.html_head import head, run_title
from tailrace.loadtest.report.html_heatmap import heatmap_section
from tailrace.loadtest.report.html_histogram import histogram_section
from tailrace.loadtest.report.html_hops import hop_section
from tailrace.loadtest.report.html_moments import course_of
from tailrace.loadtest.report.html_page import page
from tailrace.loadtest.report.html_percentiles import percentile_section
from tailrace.loadtest.report.html_quality import quality_section
from tailrace.loadtest.report.html_run import generator_section, options_section, outcome_section
from tailrace.loadtest.report.html_times import time_section
from tailrace.loadtest.verdict.comparison import Comparison
from tailrace.loadtest.verdict.judge import Verdict


def write_html(
    result: RunResult,
    verdicts: Sequence[Verdict],
    comparisons: Sequence[Comparison],
    file: TextIO,
) -> None:
    """Writes a run as one HTML file, which loads nothing else.

    Args:
        result: the run.
        verdicts: its objectives'; none where there are no objectives.
        comparisons: with the baseline; none where there is no baseline.
        file: where it goes, in UTF-8; it stays open.

    Raises:
        OSError: the report cannot be written.
    """
    tally = result.tally
    answers = tally.answers if isinstance(tally.answers, HopTally) else None
    course = course_of(result)
    sections = []
    if tally.corrected.count:
        sections.append(("percentiles", "Percentiles", percentile_section(result)))
    if course.moments:
        sections.append(("time", "Over time", time_section(result, course)))
    if any(one.slice.buckets for one in course.moments):
        sections.append(("heatmap", "Heat map", heatmap_section(course)))
    if tally.corrected.count:
        sections.append(("histogram", "Histogram", histogram_section(tally.corrected)))
    if answers is not None and answers.span("total").count:
        sections.append(("hops", "Hops", hop_section(answers)))
    if answers is not None:
        sections.append(("quality", "Quality", quality_section(answers, result)))
    sections.append(("errors", "Errors", outcome_section(result)))
    sections.append(("generator", "Generator", generator_section(result)))
    sections.append(("options", "Options", options_section(result)))
    document = page(
        f"{run_title(result)} - load test",
        head(result, verdicts, comparisons),
        [content for _, _, content in sections],
        links=[(target, name) for target, name, _ in sections],
    )
    file.write(document)
