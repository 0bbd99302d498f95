"""A plan's arithmetic, on figures as they are measured."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.plan.arguments import parse_plan
from tailrace.loadtest.plan.cost_model import check, needs, predicted_p99, usable_share
from tailrace.loadtest.plan.plan_report import Plan, plan_json, plan_lines, warnings_of
from tailrace.loadtest.plan.point import Point
from tailrace.loadtest.plan.request_costs import ConvoyRates, Cost, fit_costs
from tailrace.loadtest.plan.scrape import ScrapeTarget, read_targets_file

MS = 1_000_000


def point(
    rate: float,
    *,
    ingest: int = 1,
    noise: float = 1.0,
    p99_ms: float = 20.0,
    rows: float = 0.0,
) -> Point:
    """Returns what was measured where a row costs ingest 1 ms, the gateway 2; both idle at 0.01.

    In convoys of so many rows, each costs the gateway 4 ms more, and ingest nothing.
    """
    convoys = rate / rows if rows else 0
    cores = {
        "ingest": 0.01 * ingest + 0.001 * rate,
        "gateway": 0.01 + 0.002 * rate + 0.004 * convoys,
    }
    return Point(
        rate=rate,
        cores={name: used * noise for name, used in cores.items()},
        processes={"ingest": ingest, "gateway": 1},
        p99_ns=round(p99_ms * MS),
        generator=0.05,
        machine=sum(cores.values()) * noise + 0.1,
        machine_cores=2,
        convoy_rows=rows,
        hop_ms={"ingest": 2.0},
    )


ALONE = ConvoyRates([point(100)])


def test_costs_are_found_again() -> None:
    costs = fit_costs([point(rate) for rate in (50, 100, 200)])
    assert costs["ingest"].idle == pytest.approx(0.01)
    assert costs["ingest"].per_row_s == pytest.approx(0.001)
    assert costs["gateway"].per_row_s == pytest.approx(0.002)
    assert costs["gateway"].per_convoy_s == 0


def test_what_a_convoy_costs_is_told_from_what_a_row_costs() -> None:
    points = [point(rate, rows=rows) for rate, rows in ((50, 1), (100, 2), (400, 16), (800, 64))]
    costs = fit_costs(points)
    assert costs["gateway"].per_convoy_s == pytest.approx(0.004)
    assert costs["gateway"].per_row_s == pytest.approx(0.002)
    assert costs["gateway"].idle == pytest.approx(0.01)
    assert costs["ingest"].per_convoy_s == pytest.approx(0, abs=1e-9)
    assert costs["ingest"].per_row_s == pytest.approx(0.001)


def test_costs_are_found_where_cores_used_fall_as_convoys_grow() -> None:
    # As few convoys at any rate carry all: a line through the rates alone has no slope to tell of.
    points = [
        Point(
            rate=rate,
            cores={"features": 0.02 + 0.003 * convoys + 0.0001 * rate},
            processes={"features": 1},
            p99_ns=MS,
            convoy_rows=rate / convoys,
            hop_ms={},
        )
        for rate, convoys in ((60, 60), (400, 150), (1600, 90), (3700, 54))
    ]
    assert points[2].cores["features"] < points[1].cores["features"]
    cost = fit_costs(points)["features"]
    assert cost.per_row_s == pytest.approx(0.0001)
    assert cost.per_convoy_s == pytest.approx(0.003)


def test_costs_of_noisy_figures_are_near() -> None:
    points = [point(50, noise=1.05), point(100, noise=0.96), point(200), point(300, noise=1.01)]
    cost = fit_costs(points)["gateway"]
    assert cost.cores(300, 0, 1) == pytest.approx(0.61, rel=0.06)


def test_idling_is_never_below_nothing() -> None:
    points = [point(100, noise=0.5), point(200, noise=1.2)]
    costs = fit_costs(points)
    assert costs["gateway"].idle == 0
    assert costs["gateway"].per_row_s > 0


def test_one_rate_is_no_line() -> None:
    with pytest.raises(ValueError, match="two rates"):
        fit_costs([point(100), point(100)])


def test_replicas_follow_from_cost_rate_and_utilisation() -> None:
    costs = {"ingest": Cost(0.01, 0.001), "gateway": Cost(0.01, 0.002)}
    found = needs(costs, ALONE, {"ingest": 1, "gateway": 1}, 5000, 0.61)
    # 5 cores of work at 0.6 each, and 10.
    assert {need.service: need.needed for need in found} == {"ingest": 9, "gateway": 17}
    assert found[0].cores == pytest.approx(9 * 0.01 + 5)


def test_a_whole_number_of_replicas_is_not_rounded_up() -> None:
    costs = {"ingest": Cost(0.0, 0.001), "gateway": Cost(0.0, 0.0005)}
    found = needs(costs, ALONE, {"ingest": 1, "gateway": 1}, 1200, 0.6)
    assert {need.service: need.needed for need in found} == {"ingest": 2, "gateway": 1}


def test_idling_above_what_is_allowed_is_told() -> None:
    with pytest.raises(ValueError, match="ingest uses 0.70 cores without requests"):
        needs({"ingest": Cost(0.7, 0.001)}, ALONE, {"ingest": 1}, 100, 0.6)


def test_gateways_make_as_many_convoys_as_were_measured() -> None:
    convoys = ConvoyRates([point(800, rows=16), point(100, rows=1)])
    # 100 and 50 convoys a second; between them on a line, below to 0, and beyond as full as there.
    assert convoys.at(100, 1) == pytest.approx(100)
    assert convoys.at(450, 1) == pytest.approx(75)
    assert convoys.at(900, 2) == pytest.approx(150)
    assert convoys.at(50, 1) == pytest.approx(50)
    assert convoys.at(1600, 1) == pytest.approx(100)
    assert ALONE.at(500, 3) == 0


def test_as_few_gateways_as_can_are_needed_with_the_convoys_that_they_make() -> None:
    convoys = ConvoyRates([point(100, rows=1), point(800, rows=16)])
    costs = {"gateway": Cost(0.1, 0.0002, 0.004), "ingest": Cost(0.1, 0.0, 0.002)}
    gateway, ingest = needs(costs, convoys, {"gateway": 1, "ingest": 1}, 4000, 0.6)

    def fits(count: int) -> bool:
        return 0.1 * count + 0.0002 * 4000 + 0.004 * convoys.at(4000, count) <= 0.6 * count

    assert fits(gateway.needed) and not fits(gateway.needed - 1)
    assert gateway.convoys == ingest.convoys == convoys.at(4000, gateway.needed)
    assert ingest.needed == math.ceil(0.002 * ingest.convoys / 0.5)


def test_what_was_busiest_says_how_busy_processes_may_be() -> None:
    # The gateway uses 0.41 cores, the machine's two are used by 0.36.
    assert usable_share(point(200)) == pytest.approx(0.41)
    # The machine is used by 0.68, with 0.42 of it by two ingest services.
    assert usable_share(point(400, ingest=2)) == pytest.approx(0.81)
    assert usable_share(point(600)) == 0.9


def test_the_p99_lies_between_those_of_the_rates_beside_it() -> None:
    points = [point(300, p99_ms=40), point(100, p99_ms=10), point(200, p99_ms=20)]
    assert predicted_p99(points, 150) == pytest.approx(15 * MS)
    assert predicted_p99(points, 300) == pytest.approx(40 * MS)


def test_a_second_measurement_tells_the_error() -> None:
    points = [point(rate, rows=2) for rate in (50, 200)]
    second = point(100, noise=1.25, rows=2.5, p99_ms=25)
    found = check(fit_costs(points), ConvoyRates(points), points, second)
    checks = {one.name: one for one in found}
    assert checks["gateway"].predicted == pytest.approx(0.41)
    assert checks["gateway"].error == pytest.approx(0.41 / (0.37 * 1.25) - 1)
    assert checks["convoys"].predicted == pytest.approx(50)
    assert checks["convoys"].error == pytest.approx(0.25)
    assert checks["p99"].measured == 25
    assert checks["p99"].error == pytest.approx(-0.2)


def test_replicas_idle_each_for_itself() -> None:
    points = [point(50), point(200)]
    found = check(fit_costs(points), ConvoyRates(points), points, point(100, ingest=3))
    checks = {one.name: one for one in found}
    assert checks["ingest"].predicted == pytest.approx(0.13)
    assert checks["ingest"].error == pytest.approx(0, abs=1e-6)
    assert "convoys" not in checks


def test_the_arithmetic_is_shown() -> None:
    points = [point(50, rows=1), point(100, rows=2), point(200, rows=8)]
    costs, convoys, knee = fit_costs(points), ConvoyRates(points), points[-1]
    second = point(150, rows=4)
    plan = Plan(
        rate=5000,
        p99_ns=100 * MS,
        points=points,
        knee=knee,
        costs=costs,
        convoys=convoys,
        utilisation=0.51,
        given=False,
        needs=needs(costs, convoys, knee.processes, 5000, 0.51),
        checked=second,
        checks=check(costs, convoys, points, second),
        checked_how="150/s",
        warnings=warnings_of(points, knee, 5000),
    )
    text = "\n".join(plan_lines(plan))
    assert (
        "gateway      idle 0.010 cores a process, 4.000 ms of CPU a convoy, 2.000 ms a row: "
        in text
    )
    assert "2.500 ms a request at 200/s" in text
    # 25 gateways of 200/s, as at the knee.
    assert "25 gateways of 200/s make 625 convoys/s, of 8.0 rows" in text
    assert (
        "gateway      4.000 ms * 625/s + 2.000 ms * 5,000/s = 12.50 cores; / 0.50 = 25.00: 25; "
        "present 1"
    ) in text
    assert "busiest there was gateway: 0.51 of a core" in text
    assert "generator took 0.05 cores" in text
    assert "shared this machine's 2 cores" in text
    assert "5,000/s is 25 times what was measured" in text
    found = json.loads(json.dumps(plan_json(plan)))
    assert found["services"]["ingest"]["needed"] == 10
    assert found["services"]["gateway"]["cpu_s_per_request"] == pytest.approx(0.0025)
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
