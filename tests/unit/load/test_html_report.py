"""The HTML report: one whole document that loads nothing, with the figures of its run."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import EndReason, GeneratorLimit, RunResult
from tailrace.loadtest.report.html import write_html
from tailrace.loadtest.report.html_text import count, duration, share
from tailrace.loadtest.verdict.comparison import Comparison, Outcome
from tailrace.loadtest.verdict.judge import Verdict, judge
from tailrace.loadtest.verdict.objective import Unit, parse_objective
from tests.support.html_document import Element, html_document
from tests.support.load_results import UNAVAILABLE, hop_tally, load_result

HOSTILE = "</td></script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&amp;"


def _report(
    result: RunResult,
    verdicts: Sequence[Verdict] = (),
    comparisons: Sequence[Comparison] = (),
) -> Element:
    file = io.StringIO()
    write_html(result, verdicts, comparisons, file)
    # As it goes to disk.
    return html_document(file.getvalue().encode("utf-8").decode("utf-8"))


def _result(answers: HopTally | None = None) -> RunResult:
    return load_result(calls=3000, errors={UNAVAILABLE: 30}, answers=answers)


RUNS = {
    "of a server that answers": _result(),
    "of Tailrace": _result(hop_tally(500)),
    "without a call": load_result([]),
    "without an answer": load_result([], errors={UNAVAILABLE: 20}, answers=HopTally()),
    "of one call": load_result([5.25]),
    "of one call of a nanosecond": load_result([1e-6]),
    "of calls that took all the same": load_result(np.full(50, 3.0)),
    "from a nanosecond to an hour": load_result([1e-6, 1.0, 3.6e6]),
    "of hours": load_result(calls=2000, rps=0.1),
}


@pytest.mark.parametrize("result", RUNS.values(), ids=RUNS)
def test_it_is_one_whole_document_that_loads_nothing(result: RunResult) -> None:
    document = _report(result)

    assert document.loaded == []
    ids = [one.attributes["id"] for one in document.everything() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    links = [link.attributes["href"] for link in document.all("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    # Nothing came out of a division by nothing.
    assert not {"nan", "inf"} & {
        word.strip("(),") for svg in document.all("svg") for word in _drawn(svg)
    }


def _drawn(svg: Element) -> list[str]:
    return " ".join(
        value for one in [svg, *svg.everything()] for value in one.attributes.values()
    ).split()


def test_every_drawing_has_a_title_and_every_table_a_caption() -> None:
    document = _report(RUNS["of Tailrace"])

    assert len(document.all("svg")) == 7
    for svg in document.all("svg"):
        first = svg.children[0]
        assert isinstance(first, Element) and first.name == "title" and first.text
        assert svg.attributes["role"] == "img"
    for table in document.all("table"):
        assert table.all("caption")[0].text
        assert all(cell.attributes["scope"] for cell in table.all("th"))


def test_its_script_and_style_are_all_that_its_policy_lets_run() -> None:
    document = _report(RUNS["of Tailrace"])
    (policy,) = [
        meta.attributes["content"]
        for meta in document.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    assert allowed["default-src"] == "'none'"
    for name in ("script", "style"):
        (found,) = document.all(name)
        digest = base64.b64encode(hashlib.sha256(found.text.encode()).digest()).decode()
        assert allowed[f"{name}-src"] == f"'sha256-{digest}'"


def test_percentiles_are_those_of_the_result() -> None:
    waits = np.zeros(2000)
    waits[500:600] = 800.0
    result = load_result(np.linspace(1, 20, 2000), waits_ms=waits)
    tally = result.tally
    told = _report(result).by_id("percentiles").table("Latency of 2,000 calls")

    assert tally.corrected.percentile(99) > 10 * tally.uncorrected.percentile(99)
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("p99.9", 99.9)):
        assert told[name] == [
            duration(tally.corrected.percentile(percent)),
            duration(tally.uncorrected.percentile(percent)),
        ]
    assert told["slowest"][0] == duration(tally.corrected.maximum_ns)
    # Beyond it, there is less than one call.
    assert "p99.99" not in told


def test_without_a_rate_there_is_one_latency() -> None:
    result = load_result(calls=500)
    result = replace(result, options=replace(result.options, rps=0.0, async_=False))
    told = _report(result).by_id("percentiles").table("Latency")

    assert told["p50"] == [duration(result.tally.corrected.percentile(50))]


def test_calls_over_time_add_up_to_all() -> None:
    result = _result()
    told = _report(result).by_id("time").table("By time")
    made, ended, failed = (
        sum(int(row[place].replace(",", "")) for row in told.values()) for place in range(3)
    )

    assert (made, ended, failed) == (3030, 3030, 30)


def test_the_histogram_adds_up_to_all() -> None:
    told = _report(_result()).by_id("histogram").table("Calls by latency")

    assert sum(int(row[0].replace(",", "")) for row in told.values()) == 3000


def test_the_heat_map_has_a_cell_for_every_call() -> None:
    result = load_result([1.0, 30.0, 1000.0], rps=1.0)
    heat = _report(result).by_id("heatmap")
    cells = sum(
        path.attributes["d"].count("M")
        for path in heat.all("path")
        if path.attributes["class"].startswith("heat-")
    )

    # The first two end in slices of their own, and so does the slow one.
    assert cells == 3


def test_hops_are_those_of_the_answers() -> None:
    answers = hop_tally(800)
    hops = _report(_result(answers)).by_id("hops")
    spans = hops.table("Times of each hop")
    costs = hops.table("Mean times on the critical path")
    whole = answers.bands.breakdown()

    for hop in ("ingest", "features", "inference", "postprocess"):
        assert spans[hop][:3] == [
            duration(answers.span(hop).percentile(percent)) for percent in (50, 90, 99)
        ]
        assert spans[hop][-1] == duration(answers.span(f"{hop}.work").mean_ns)
    assert whole is not None
    assert costs["sum"][0] == duration(sum(whole.costs_ns.values()))
    assert costs["answers"][0] == "800"
    # It lay beside the features, so no answer waited for it.
    assert "ingest" not in costs
    assert hops.table("Calls of hops")["ingest"][1] == "0 %"


def test_a_run_without_ledgers_has_no_hops() -> None:
    ids = {one.attributes.get("id") for one in _report(_result()).everything()}

    assert not {"hops", "quality"} & ids
    assert {"percentiles", "errors"} <= ids


def test_quality_and_goodput_are_those_of_the_answers() -> None:
    answers = hop_tally(400)
    answers.errors["RESOURCE_EXHAUSTED QUEUE_FULL"] = 5
    quality = _report(_result(answers)).by_id("quality")
    goodput = quality.table("Goodput")

    requests = 400 + 5 + 30
    assert goodput["live and in time"][:2] == [count(answers.good), share(answers.good, requests)]
    assert goodput["without an answer"][0] == "35"
    assert quality.table("Quality of answers")["STALE_FEATURES"][0] == "20"
    assert quality.table("Why answers")["STALE_FEATURES features: plane: stale"] == ["20"]
    assert quality.table("Errors in place")["RESOURCE_EXHAUSTED QUEUE_FULL"] == ["5"]


def test_errors_come_most_first() -> None:
    result = load_result(
        calls=10, errors={"rpc error: code = Internal desc = b": 2, UNAVAILABLE: 8}
    )
    errors = _report(result).by_id("errors")

    assert list(errors.table("Errors")) == [UNAVAILABLE, "rpc error: code = Internal desc = b"]
    assert errors.table("Calls by status")["Unavailable"] == ["8", "40 %"]


def test_objectives_and_comparisons_say_in_words_whether_they_hold() -> None:
    result = _result(hop_tally(500))
    texts = ("p50<1s", "errors<0.5%", "features.p99<1ns")
    verdicts = judge([parse_objective(text) for text in texts], result)
    comparisons = [
        Comparison("p99", Outcome.WORSE, Unit.NS, 12.4e6, 15.1e6, 1.218, 1.182, 1.259),
        Comparison("rps", Outcome.UNKNOWN, why="the earlier run has none"),
        Comparison("", Outcome.NOTE, why="connections: 1 before, 4 now"),
    ]
    document = _report(result, verdicts, comparisons)
    objectives, baseline = document.by_id("objectives"), document.by_id("baseline")

    assert objectives.all("h2")[0].text == "Objectives: 2 of 3 missed"
    told = [line.text for line in objectives.all("li")]
    assert [line.split()[1] for line in told] == ["met", "missed", "missed"]
    assert told[1].endswith(verdicts[1].text)
    assert baseline.all("h2")[0].text == "Compared with the baseline: 2 of 2 failed"
    before_now_change = ["12.4 ms", "15.1 ms", "+21.8 %", "+18.2 to +25.9 %"]
    assert baseline.table("Figures of both runs")["p99"][1:] == before_now_change
    assert "connections: 1 before, 4 now" in baseline.text
    assert "rps: the earlier run has none" in baseline.text


def test_warnings_come_first() -> None:
    limited = GeneratorLimit(True, "calls were sent 12 ms late (p99)")
    told = _report(replace(load_result(calls=5, limit=limited), end_reason=EndReason.CANCEL))
    (header,) = told.all("header")

    assert "The generator, not the server, was the limit: calls were sent 12 ms late" in header.text
    assert "It was interrupted." in header.text
    (header,) = _report(load_result([], errors={UNAVAILABLE: 3})).all("header")
    assert "No call was answered OK." in header.text


def test_text_from_elsewhere_stays_text() -> None:
    answers = hop_tally(20)
    answers.qualities[HOSTILE] = answers.reasons[HOSTILE] = answers.errors[HOSTILE] = 3
    result = load_result(
        calls=20,
        errors={f"rpc error: code = {HOSTILE} desc = {HOSTILE}": 2},
        answers=answers,
        limit=GeneratorLimit(True, HOSTILE),
        name=HOSTILE,
        call=HOSTILE,
        host=HOSTILE,
        data=f'{{"x": "{"</script>" * 3}"}}',
        tags={HOSTILE: HOSTILE},
    )
    note = Comparison(HOSTILE, Outcome.UNKNOWN, why=HOSTILE)
    usual = _report(_result(hop_tally(20)))
    document = _report(result, comparisons=[note])

    assert len(document.all("script")) == len(usual.all("script")) == 1
    assert document.all("img") == []
    assert not [one for one in document.everything() if "onerror" in one.attributes]
    assert document.all("h1")[0].text == HOSTILE
    assert HOSTILE in document.by_id("errors").text
    assert HOSTILE in document.by_id("quality").text


def test_text_that_no_file_can_hold_is_marked() -> None:
    result = load_result(calls=5, name="a\ud800b\x00c\u202ed")

    assert _report(result).all("h1")[0].text == "a\ufffdb\ufffdc\ufffdd"


def test_values_of_metadata_are_left_out() -> None:
    result = load_result(calls=5, metadata='{"authorization": "Bearer secret-token"}')
    told = _report(result)

    assert "secret-token" not in told.text
    assert told.by_id("options").table("What was asked for")["metadata"] == ['["authorization"]']


def test_long_runs_make_no_large_files() -> None:
    file = io.StringIO()
    write_html(load_result(calls=50_000, rps=100.0, answers=hop_tally(100)), [], [], file)

    assert len(file.getvalue()) < 500_000
