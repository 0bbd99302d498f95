"""What comes first in the HTML report: what was run, whether it was good, the main figures."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_text import calls, count, duration, rate, share
from tailrace.loadtest.report.html_verdicts import baseline_section, objectives_section
from tailrace.loadtest.verdict.comparison import Comparison
from tailrace.loadtest.verdict.judge import Verdict

_ENDS = {
    EndReason.NORMAL: "",
    EndReason.CANCEL: "It was interrupted.",
    EndReason.TIMEOUT: "Its time was up.",
    EndReason.LOST: "Processes that made its load were lost.",
}


def run_title(result: RunResult) -> str:
    """Returns what the run is called."""
    return result.options.name or result.options.call


def head(result: RunResult, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]) -> Html:
    """Returns title, verdict and main figures."""
    options, tally = result.options, result.tally
    begun = result.date.strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    facts = element(
        "p",
        element("code", options.call),
        " at ",
        element("code", options.host),
        f", {begun}, for {duration(result.duration_ns)}. {_ENDS[result.end_reason]}",
        class_="facts",
    )
    tags = [element("li", f"{key}: {value}") for key, value in options.tags.items()]
    warnings = [f"Only a part of the load was made: {lost.text}." for lost in result.lost]
    if result.details is not None and result.details.fault:
        warnings.append(f"Records of calls are missing: {result.details.fault}.")
    if result.limit.limited:
        warnings.append(f"The generator, not the server, was the limit: {result.limit.why}.")
    if not tally.ended:
        warnings.append("No call came to an end.")
    elif tally.failed == tally.ended:
        warnings.append("No call was answered OK.")
    return element(
        "header",
        element("p", "Load test", class_="kind"),
        element("h1", run_title(result)),
        facts,
        element("ul", tags, class_="tags") if tags else "",
        [element("p", warning, class_="warning", role="note") for warning in warnings],
        objectives_section(verdicts) if verdicts else "",
        baseline_section(comparisons) if comparisons else "",
        _tiles(result),
    )


def _tiles(result: RunResult) -> Html:
    tally = result.tally
    told = [
        ("calls", count(tally.ended), ""),
        ("rate", rate(result.rps), f"of {rate(result.options.rps)}" if result.options.rps else ""),
        ("failed", share(tally.failed, tally.ended), calls(tally.failed)),
    ]
    if tally.corrected.count:
        figures = zip(
            ("p50", "p99", "p99.9"), tally.corrected.percentiles((50, 99, 99.9)), strict=True
        )
        told += [(name, duration(value), "") for name, value in figures]
        told.append(("slowest", duration(tally.corrected.maximum_ns), ""))
    if isinstance(tally.answers, HopTally):
        answers = tally.answers
        requests = answers.requests(tally.failed)
        told.append(("goodput", share(answers.good, requests), "live and in time"))
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", name),
                element("dd", value, element("small", small) if small else ""),
            )
            for name, value, small in told
        ],
        class_="tiles",
    )
