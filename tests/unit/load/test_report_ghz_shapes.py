"""Our reports of the calls that ghz's own list, beside ghz's."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.loadtest.report.write import write_report
from tests.support.ghz_reports.comparison import differences
from tests.support.ghz_reports.recorded import recorded, recorded_document, recorded_result
from tests.support.ghz_reports.runs import FORMATS, RUNS

CI_SCRIPT = Path(__file__).parents[2] / "support" / "ghz_reports" / "ci_script.py"


def report(run: str, form: str) -> str:
    file = io.StringIO()
    write_report(recorded_result(run, form), [], [], file)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("run", RUNS)
def test_reports_have_the_shape_of_ghzs(run: str, form: str) -> None:
    assert differences(form, recorded(run, form), report(run, form)) == []


def test_shapes_tell_reports_apart() -> None:
    for form in FORMATS:
        assert differences(form, recorded("answered", form), recorded("failed", form)) != []


@pytest.mark.parametrize("run", ["answered", "scheduled", "timed"])
def test_figures_of_ghzs_calls_are_ghzs(run: str) -> None:
    ghz = recorded_document(run)
    ours = json.loads(report(run, "json"))
    for key in ("count", "total", "fastest", "slowest", "details", "statusCodeDistribution"):
        assert ours[key] == ghz[key]
    assert ours["rps"] == pytest.approx(ghz["rps"], rel=1e-12)
    assert ours["average"] == pytest.approx(ghz["average"], abs=1)
    for mine, theirs in zip(ours["latencyDistribution"], ghz["latencyDistribution"], strict=True):
        assert mine["percentage"] == theirs["percentage"]
        assert mine["latency"] == pytest.approx(theirs["latency"], rel=1e-3)
    for mine, theirs in zip(ours["histogram"], ghz["histogram"], strict=True):
        assert mine["mark"] == pytest.approx(theirs["mark"], rel=1e-9)
        # A call whose bucket lies across a mark counts under the next one.
        assert mine["count"] == pytest.approx(theirs["count"], abs=2)
    assert sum(bar["count"] for bar in ours["histogram"]) == ghz["count"]
    assert ours["histogram"][0]["count"] == ghz["histogram"][0]["count"] == 1


def test_summary_tells_a_call_of_ghzs_as_ghz_does() -> None:
    ghz = recorded("failed", "summary").split("\n")
    ours = report("failed", "summary").split("\n")
    # Times differ, as each report is of a run of its own; ghz's average is of failed calls, too.
    assert [line for line in ours if "Average" not in line and "." not in line] == [
        line for line in ghz if "Average" not in line and "." not in line
    ]


def test_csv_tells_calls_in_order() -> None:
    lines = report("failed", "csv").split("\n")
    calls = recorded_document("failed")["details"]
    assert [line.split(",")[0] for line in lines[2:-1]] == [
        f"{call['latency'] / 1e6:.2f}" for call in calls
    ]


@pytest.mark.parametrize("run", RUNS)
def test_script_written_for_ghzs_json_reads_ours(run: str, tmp_path: Path) -> None:
    ours, ghz = tmp_path / "ours.json", tmp_path / "ghz.json"
    ours.write_text(report(run, "json"), encoding="utf-8")
    ghz.write_text(recorded(run, "json"), encoding="utf-8")
    mine, theirs = (
        subprocess.run([sys.executable, CI_SCRIPT, path], capture_output=True, text=True)
        for path in (ours, ghz)
    )
    assert (mine.stderr, theirs.stderr) == ("", "")
    assert mine.returncode == theirs.returncode == (1 if run == "failed" else 0)
    assert [line.split(":")[0] for line in mine.stdout.split("\n")] == [
        line.split(":")[0] for line in theirs.stdout.split("\n")
    ]
