"""A plan's arithmetic, on figures as they are measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.plan.arguments import parse_plan
from tailrace.loadtest.plan.cost_model import (
    Cost,
    Point,
    check,
    fit_costs,
    fit_p99,
    needs,
    predicted_p99,
    usable_share,
)
from tailrace.loadtest.plan.plan_report import Plan, plan_json, plan_lines, warnings_of
from tailrace.loadtest.plan.scrape import ScrapeTarget, read_targets_file

MS = 1_000_000


def point(rate: float, *, ingest: int = 1, noise: float = 1.0, p99_ms: float = 20.0) -> Point:
    """Returns what was measured where ingest costs 1 ms, the gateway 2, and both idle 0.01."""
    cores = {"ingest": 0.01 * ingest + 0.001 * rate, "gateway": 0.01 + 0.002 * rate}
    return Point(
        rate=rate,
        cores={name: used * noise for name, used in cores.items()},
        processes={"ingest": ingest, "gateway": 1},
        p99_ns=round(p99_ms * MS),
        generator=0.05,
        machine=sum(cores.values()) * noise + 0.1,
        machine_cores=2,
        convoy_rows=1.5,
        hop_ms={"ingest": 2.0},
    )


def test_costs_are_found_again() -> None:
    costs = fit_costs([point(rate) for rate in (50, 100, 200)])
    assert costs["ingest"].idle == pytest.approx(0.01)
    assert costs["ingest"].per_request_s == pytest.approx(0.001)
    assert costs["gateway"].per_request_s == pytest.approx(0.002)


def test_costs_of_noisy_figures_are_near() -> None:
    points = [point(50, noise=1.05), point(100, noise=0.96), point(200), point(300, noise=1.01)]
    assert fit_costs(points)["gateway"].per_request_s == pytest.approx(0.002, rel=0.06)


def test_idling_is_never_below_nothing() -> None:
    points = [point(100, noise=0.5), point(200, noise=1.2)]
    costs = fit_costs(points)
    assert costs["gateway"].idle == 0
    assert costs["gateway"].per_request_s > 0


def test_one_rate_is_no_line() -> None:
    with pytest.raises(ValueError, match="two rates"):
        fit_costs([point(100), point(100)])


def test_replicas_follow_from_cost_rate_and_utilisation() -> None:
    costs = {"ingest": Cost(0.01, 0.001), "gateway": Cost(0.01, 0.002)}
    found = needs(costs, {"ingest": 1, "gateway": 1}, 5000, 0.61)
    # 5 cores of work at 0.6 each, and 10.
    assert {need.service: need.needed for need in found} == {"ingest": 9, "gateway": 17}
    assert found[0].cores == pytest.approx(9 * 0.01 + 5)


def test_a_whole_number_of_replicas_is_not_rounded_up() -> None:
    (need,) = needs({"ingest": Cost(0.0, 0.001)}, {"ingest": 1}, 1200, 0.6)
    assert need.needed == 2


def test_idling_above_what_is_allowed_is_told() -> None:
    with pytest.raises(ValueError, match="ingest uses 0.70 cores without requests"):
        needs({"ingest": Cost(0.7, 0.001)}, {"ingest": 1}, 100, 0.6)


def test_what_was_busiest_says_how_busy_processes_may_be() -> None:
    # The gateway uses 0.41 cores, the machine's two are used by 0.36.
    assert usable_share(point(200)) == pytest.approx(0.41)
    # The machine is used by 0.68, with 0.42 of it by two ingest services.
    assert usable_share(point(400, ingest=2)) == pytest.approx(0.81)
    assert usable_share(point(600)) == 0.9


def test_the_p99_grows_as_a_queue_does() -> None:
    points = [point(rate, p99_ms=10 / (1 - (0.01 + 0.002 * rate))) for rate in (100, 200, 300)]
    scale = fit_p99(points)
    assert scale == pytest.approx(10 * MS, rel=1e-6)
    assert predicted_p99(scale, 0.5) == pytest.approx(20 * MS)


def test_a_second_measurement_tells_the_error() -> None:
    costs = fit_costs([point(rate) for rate in (50, 200)])
    checks = {one.name: one for one in check(costs, 10 * MS, point(100, noise=1.25))}
    assert checks["gateway"].predicted == pytest.approx(0.21)
    assert checks["gateway"].error == pytest.approx(-0.2)
    assert checks["all services"].error == pytest.approx(-0.2)
    assert checks["p99"].measured == 20


def test_replicas_idle_each_for_itself() -> None:
    costs = fit_costs([point(rate) for rate in (50, 200)])
    checks = {one.name: one for one in check(costs, 10 * MS, point(100, ingest=3))}
    assert checks["ingest"].predicted == pytest.approx(0.13)
    assert checks["ingest"].error == pytest.approx(0, abs=1e-6)


def test_the_arithmetic_is_shown() -> None:
    points = [point(rate) for rate in (50, 200)]
    costs, knee = fit_costs(points), points[1]
    second = point(100)
    plan = Plan(
        rate=5000,
        p99_ns=100 * MS,
        points=points,
        knee=knee,
        costs=costs,
        utilisation=0.41,
        given=False,
        needs=needs(costs, knee.processes, 5000, 0.41),
        scale_ns=fit_p99(points),
        checked=second,
        checks=check(costs, fit_p99(points), second),
        checked_how="100/s",
        warnings=warnings_of(points, knee, 5000),
    )
    text = "\n".join(plan_lines(plan))
    assert "gateway      2.000 ms * 5,000/s = 10.00 cores; / 0.40 = 25.00: 25; present 1" in text
    assert "busiest there was gateway: 0.41 of a core" in text
    assert "generator took 0.05 cores" in text
    assert "shared this machine's 2 cores" in text
    assert "5,000/s is 25 times what was measured" in text
    found = json.loads(json.dumps(plan_json(plan)))
    assert found["services"]["ingest"]["needed"] == 13
    assert found["check"]["largest_cpu_error"] == pytest.approx(0, abs=1e-6)


def test_targets_are_read_as_prometheus_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    group = {"targets": ["127.0.0.1:9101"], "labels": {"service": "gateway"}}
    file.write_text(json.dumps([group, {"targets": ["127.0.0.1:9102"]}]))
    assert read_targets_file(file) == [
        ScrapeTarget("127.0.0.1:9101", "gateway"),
        ScrapeTarget("127.0.0.1:9102"),
    ]
    file.write_text('{"targets": 1}')
    with pytest.raises(LoadError, match="no list of targets"):
        read_targets_file(file)
    with pytest.raises(LoadError, match="cannot be read"):
        read_targets_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--rps", "100"], "--p99"),
        (["--p99", "20ms", "--rps", "much"], "--rps"),
        (["--p99", "20", "--rps", "1"], "a duration such as"),
        (["--p99", "20ms", "--rps", "1", "--target", "a:1"], "none is named"),
        (["--p99", "20ms", "--rps", "1", "--metrics", "a:1"], "no gateway"),
        (["--p99", "1s", "--rps", "1", "--target", "a:1", "--metrics", "x"], "no HOST:PORT"),
        (["--p99", "1s", "--rps", "1", "--check-replicas", "ingst=2"], "hops are ingest"),
        (["--p99", "1s", "--rps", "1", "--json", "/no/such/file.json"], "no folder"),
        (["--p99", "1s", "--rps", "1", "--json", "/"], "is a folder"),
        (["--p99", "1s", "--rps", "1", "--workers", "0"], "whole number from 1"),
        (["--p99", "1s", "--rps", "1", "--connections", "1.5"], "whole number from 1"),
        (["--p99", "1s", "--rps", "1", "--data", "{}", "--data-file", "x"], "not allowed with"),
        (["--p99", "1s", "--rps", "1", "--factor", "1"], "no number from 1.05"),
        (["--p99", "1s", "--rps", "1", "--utilisation", "5"], "no number from 0 to 1"),
        (["--p99", "1s", "--rps", "1", "--max-rps", "5"], "--start 60 is beyond --max-rps 5"),
    ],
)
def test_bad_flags_are_told(arguments: list[str], problem: str) -> None:
    with pytest.raises(LoadError) as caught:
        parse_plan(arguments)
    assert problem in str(caught.value)


def test_metrics_may_be_named() -> None:
    given = ["--p99", "1s", "--rps", "1", "--target", "a:1", "--metrics", "redis=b:2,c:3"]
    assert list(parse_plan(given).metrics) == [ScrapeTarget("b:2", "redis"), ScrapeTarget("c:3")]
