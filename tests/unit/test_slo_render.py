"""`tailrace slo render`: rules, specs and a dashboard of objectives."""

from __future__ import annotations

import json
import re
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tailrace.cli.main import app
from tailrace.cli.slo.alerts import Links
from tailrace.cli.slo.burn import PAIRS, pairs, windows
from tailrace.cli.slo.objective import Objective, objectives
from tailrace.cli.slo.rule_file import rule_groups, yaml_text
from tailrace.runtime.pipeline.slo_section import SloSection
from tailrace.runtime.placement import HOPS
from tests.support.objectives import SLO, write_objectives
from tests.support.pipeline_files import write_folder
from tests.support.prometheus_process import promtool


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, ["slo", "render", *map(str, arguments)])


def objective(percent: float, window_days: int = 30) -> Objective:
    (found,) = objectives("tip", SloSection(availability_percent=percent, window_days=window_days))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_objectives(tmp_path / "tip")


# --- burn rates -----------------------------------------------------------------------------


def test_thirty_days_have_the_burn_rates_of_the_workbook() -> None:
    rates = [pair.burn_rate(objective(99.9)) for pair in PAIRS]

    assert rates == [Decimal("14.4"), 6, 3, 1]


@pytest.mark.parametrize(
    ("days", "rates"),
    [
        # 0.02 * 28 * 24 / 1, 0.05 * 28 * 24 / 6, 0.1 * 28; the last would be 0.93.
        (28, ["13.44", "5.6", "2.8", "1"]),
        # 0.02 * 7 * 24, 0.05 * 7 * 4; 0.7 and 0.23 would be of budgets that last.
        (7, ["3.36", "1.4", "1", "1"]),
        (90, ["43.2", "18", "9", "3"]),
        # No three days in two.
        (2, ["1", "1", "1"]),
    ],
)
def test_other_windows_scale_them(days: int, rates: list[str]) -> None:
    found = [pair.burn_rate(objective(99.9, days)) for pair in pairs(days)]

    assert found == [Decimal(rate) for rate in rates]


def test_an_objective_whose_outage_burns_slowly_can_page_all_the_same() -> None:
    # All bad burns half a budget at 2, so nine tenths are taken for an outage.
    rates = [pair.burn_rate(objective(50)) for pair in PAIRS]

    assert rates == [Decimal("1.8"), Decimal("1.8"), Decimal("1.8"), 1]


@given(percent=st.floats(0.001, 99.999).map(lambda value: round(value, 3)), days=st.integers(1, 90))
def test_every_pair_can_fire_and_none_without_need(percent: float, days: int) -> None:
    each = objective(percent, days)
    rates = [pair.burn_rate(each) for pair in pairs(days)]

    assert pairs(days)
    assert all(rate >= 1 and rate * each.budget < 1 for rate in rates)
    assert rates == sorted(rates, reverse=True)


def test_windows_are_those_of_the_pairs() -> None:
    assert [w.text for w in windows(30)] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
    assert [w.text for w in windows(2)] == ["5m", "30m", "1h", "2h", "6h", "1d"]


# --- indicators -----------------------------------------------------------------------------


def test_names_hops_and_budgets() -> None:
    found = objectives("tip", SloSection.model_validate(SLO))

    assert [(each.name, each.hop, str(each.budget)) for each in found] == [
        ("latency-p99", "", "0.01"),
        ("features-latency-p99", "features", "0.01"),
        ("inference-latency-p99", "inference", "0.01"),
        ("availability", "", "0.005"),
        ("degraded", "", "0.05"),
        ("fresh", "features", "0.1"),
        ("delivery-p95", "", "0.05"),
    ]


def test_bounds_are_written_as_the_exposition_writes_them() -> None:
    found = {each.name: each for each in objectives("tip", SloSection.model_validate(SLO))}

    assert 'le="0.08"' in found["latency-p99"].bad
    assert 'le="1.0"' in found["inference-latency-p99"].bad


def test_long_percentiles_keep_their_digits() -> None:
    content = {"latency": [{"percentile": 99.99995, "within_ms": 0.25}]}
    (found,) = objectives("tip", SloSection.model_validate(content))

    assert found.name == "latency-p99.99995"
    assert str(found.budget) == "5E-7"
    text = yaml_text({"groups": rule_groups([found], Links())})
    assert "/ 0.0000005 > 14.4" in text
    assert 'le="0.00025"' in text


# --- files ----------------------------------------------------------------------------------


def test_all_formats_are_written_to_folders_of_their_own(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    result = run("--pipelines", folder, "--out", out, "--format", "all")

    assert (result.exit_code, result.stderr) == (0, "")
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "grafana/tailrace-slo.json",
        "prometheus/tailrace-slo-tip.yml",
        "sloth/tip.sloth.yml",
    ]
    assert result.stdout.splitlines() == [
        f"{out}/{name}" for name in (files[1], files[2], files[0])
    ]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*.yml")}
    assert modes == {0o644}


def test_the_same_files_give_the_same_text(folder: Path) -> None:
    first, second = (run("--pipelines", folder).stdout for _ in range(2))

    assert first == second
    assert first.startswith("# Rendered by")


def test_check_tells_what_differs(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--pipelines", folder, "--out", out)

    missing = run(*arguments, "--check")
    run(*arguments)
    same = run(*arguments, "--check")
    rules = out / "tailrace-slo-tip.yml"
    (out / "tailrace-slo-gone.yml").write_text(rules.read_text())
    (out / "tailrace-slo-own.yml").write_text("# Somebody's own.\n")
    rules.write_text(rules.read_text() + "\n")
    changed = run(*arguments, "--check")

    assert (missing.exit_code, missing.stderr) == (1, f"{rules} is missing\n")
    assert (same.exit_code, same.stderr) == (0, "")
    assert changed.exit_code == 1
    assert changed.stderr.splitlines() == [
        f"{out}/tailrace-slo-gone.yml: no pipeline of {folder} has it",
        f"{rules} is not what its pipeline file says",
    ]


def test_a_broken_file_is_told_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    file = folder / "pipelines" / "tip.yaml"
    content = yaml.safe_load(file.read_text())
    content["slo"]["latency"][1]["hop"] = "feature"
    file.write_text(yaml.safe_dump(content))
    out = tmp_path / "out"

    result = run("--pipelines", folder, "--out", out)

    assert result.exit_code == 2
    assert re.search(
        r"tip\.yaml:\d+: slo\.latency\[1\]\.hop: found 'feature', expected one of ingest, "
        r"features, inference, postprocess.* \(did you mean 'features'\?\)",
        result.stderr,
    )
    assert not out.exists()


def test_a_file_that_cannot_be_written_leaves_the_others(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "sloth" / "tip.sloth.yml").mkdir(parents=True)
    rules = out / "prometheus" / "tailrace-slo-tip.yml"
    rules.parent.mkdir()
    rules.write_text("as it was\n")

    result = run("--pipelines", folder, "--out", out, "--format", "all")

    assert result.exit_code == 2
    assert f"{out}/sloth/tip.sloth.yml is a folder" in result.stderr
    assert rules.read_text() == "as it was\n"
    assert [path.name for path in rules.parent.iterdir()] == ["tailrace-slo-tip.yml"]


def test_pipelines_without_objectives_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path)

    result = run("--pipelines", tmp_path)

    assert result.exit_code == 2
    assert "no pipeline has objectives (`slo`); pipelines here: tip" in result.stderr


@pytest.mark.parametrize("option", ["--check", "--format=all"])
def test_what_needs_a_folder_says_so(folder: Path, option: str) -> None:
    result = run("--pipelines", folder, option)

    assert result.exit_code == 2
    assert "needs --out, a folder" in result.stderr


def test_links_begin_as_told(folder: Path) -> None:
    result = run(
        "--pipelines", folder, "--grafana-url", "https://g/", "--runbook-url", "https://w/burn"
    )

    alerts = [
        r for g in yaml.safe_load(result.stdout)["groups"] for r in g["rules"] if "alert" in r
    ]
    urls = {alert["annotations"]["dashboard_url"] for alert in alerts}
    assert {url.partition("?")[0] for url in urls} == {"https://g/d/tailrace-slo"}
    assert {alert["annotations"]["runbook_url"] for alert in alerts} == {"https://w/burn"}


# --- the formats ----------------------------------------------------------------------------


def test_alerts_carry_what_routing_needs(folder: Path) -> None:
    groups = yaml.safe_load(run("--pipelines", folder).stdout)["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]

    assert len(alerts) == 7 * 4
    assert all({"severity", "pipeline", "objective"} <= alert["labels"].keys() for alert in alerts)
    assert {a["labels"]["hop"] for a in alerts if "hop" in a["labels"]} == {"features", "inference"}
    assert {alert["labels"]["severity"] for alert in alerts} == {"page", "ticket"}


def test_the_sloth_spec_has_the_fields_of_its_format(folder: Path) -> None:
    spec = yaml.safe_load(run("--pipelines", folder, "--format", "sloth").stdout)

    assert spec.keys() == {"version", "service", "labels", "slos"}
    assert (spec["version"], spec["service"]) == ("prometheus/v1", "tailrace-tip")
    for slo in spec["slos"]:
        assert slo.keys() == {"name", "objective", "description", "labels", "sli", "alerting"}
        # Sloth's own rule for names.
        assert re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_.]*[A-Za-z0-9]", slo["name"])
        assert isinstance(slo["objective"], float) and 0 < slo["objective"] <= 100
        queries = slo["sli"]["events"]
        assert queries.keys() == {"error_query", "total_query"}
        assert all("[{{.window}}]" in query for query in queries.values())
        assert slo["alerting"]["name"] == "TailraceBudgetBurn"
    assert len({slo["name"] for slo in spec["slos"]}) == len(spec["slos"]) == 7


def test_the_indicators_of_sloth_are_those_of_the_rules(folder: Path) -> None:
    spec = yaml.safe_load(run("--pipelines", folder, "--format", "sloth").stdout)
    groups = yaml.safe_load(run("--pipelines", folder).stdout)["groups"]
    recorded = {
        (rule["record"], rule["labels"]["objective"]): rule["expr"]
        for group in groups
        for rule in group["rules"]
        if "record" in rule
    }

    for slo in spec["slos"]:
        for query, name in (("error_query", "errors"), ("total_query", "events")):
            expression = slo["sli"]["events"][query].replace("{{.window}}", "5m")
            assert recorded[f"tailrace:slo_{name}:rate5m", slo["name"]] == expression


def test_the_dashboard_shows_recorded_series_only(folder: Path) -> None:
    groups = yaml.safe_load(run("--pipelines", folder).stdout)["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    dashboard = json.loads(run("--pipelines", folder, "--format", "grafana").stdout)
    text = json.dumps(dashboard)

    asked = set(re.findall(r"tailrace:slo_[a-z_]+:[a-z0-9]+", text))
    assert asked and asked <= recorded


# --- any objectives -------------------------------------------------------------------------

percents = st.floats(0.1, 99.99).map(lambda value: round(value, 2))
times_ms = st.floats(0.01, 86_400_000).map(lambda value: round(value, 3)).filter(bool)
within: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"percentile": percents, "within_ms": times_ms}
)


def lists(of: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(of, max_size=3, unique_by=lambda each: (each.get("hop"), each["percentile"]))


sections = st.fixed_dictionaries(
    {
        "window_days": st.integers(1, 90),
        "latency": lists(
            st.one_of(
                within,
                st.builds(lambda each, hop: each | {"hop": hop}, within, st.sampled_from(HOPS)),
            )
        ),
        "delivery": lists(within),
        "min_bad_events": st.integers(1, 10**6),
    },
    optional={
        "availability_percent": percents,
        "degraded_max_percent": percents,
        "fresh_min_percent": percents,
    },
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(contents=st.lists(sections, min_size=3, max_size=3))
def test_promtool_takes_the_rules_of_any_objectives(
    contents: list[dict[str, Any]], tmp_path: Path
) -> None:
    groups = [
        group
        for place, content in enumerate(contents)
        for group in rule_groups(
            objectives(f"pipeline-{place}", SloSection.model_validate(content)), Links()
        )
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml_text({"groups": groups}))

    result = promtool("check", "rules", "--lint=all", "--lint-fatal", file)

    assert (result.returncode, result.stderr) == (0, "")
    assert f"{sum(len(group['rules']) for group in groups)} rules found" in result.stdout
