"""Scenario files are checked whole before anything is started."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import DurationStop
from tailrace.loadtest.scenario.arguments import parse_arguments, scenario_files
from tailrace.loadtest.scenario.load_section import LoadKind
from tailrace.loadtest.scenario.scenario_file import Scenario, read_scenario

STEADY = """
description = "As usual."

[[loads]]
name = "predictions"
pipeline = "echo"
rps = 20
duration = "2s"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "one.toml"
    file.write_text(text)
    return file


def read(folder: Path, text: str) -> Scenario:
    return read_scenario(write(folder, text))


def test_those_that_come_along_can_be_read() -> None:
    files = scenario_files()
    assert set(files) == {
        "events",
        "mixed",
        "ramp",
        "replica-killed",
        "slow-hop",
        "soak",
        "spike",
        "steady",
        "submissions",
    }
    for file in files.values():
        assert read_scenario(file).description


def test_a_load_is_an_open_loop_where_it_has_a_rate(tmp_path: Path) -> None:
    options = read(tmp_path, STEADY).loads[0].options("127.0.0.1:1")
    assert options.open_loop
    assert (options.rps, options.duration) == (20, 2)
    assert options.call == "tailrace.v1.PredictionService.Predict"
    assert options.duration_stop is DurationStop.WAIT


def test_a_load_of_callers_is_a_closed_loop(tmp_path: Path) -> None:
    text = STEADY.replace("rps = 20", "concurrency = 3")
    options = read(tmp_path, text).loads[0].options("127.0.0.1:1")
    assert not options.open_loop
    assert options.concurrency == 3


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("rps = 20", "rsp = 20", "did you mean 'rps'?"),
        ("rps = 20", "load-scheduel = 'step'", "did you mean 'load-schedule'?"),
        ("rps = 20", "rps = 'much'", "loads[0].rps: found 'much', expected a number"),
        ('duration = "2s"', 'duration = "2 sec"', "expected a duration such as"),
        ('duration = "2s"', "", "expected duration, or total"),
        ('pipeline = "echo"', "", "loads[0].pipeline: found nothing"),
        ('pipeline = "echo"', 'kind = "predcit"', "did you mean 'predict'?"),
        ('pipeline = "echo"', 'kind = "call"', "loads[0].call: found nothing"),
        ('description = "As usual."', "", "description: found nothing"),
        ("rps = 20", "mesh = 1", "the unknown name 'mesh'"),
        ("rps = 20", "slo = ['errors<1%', 'p99<5']", "loads[0].slo[1]: found 'p99<5'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in STEADY
    with pytest.raises(LoadError) as caught:
        read(tmp_path, STEADY.replace(old, new))
    assert problem in str(caught.value)
    assert str(tmp_path / "one.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('[[events]]\nat = "1s"\nwhat = "kill"', "the process to kill, such as ingest-2"),
        ('[[events]]\nat = "1s"\nwhat = "slow"\nhop = "feature"', "did you mean 'features'?"),
        ('[[events]]\nat = "1s"\nwhat = "kil"', "did you mean 'kill'?"),
        ("[mesh]\nreplicas = { ingst = 2 }", "did you mean 'ingest'?"),
        ("[verdict]\nexactly-once = true", "a load of kind submit"),
        ("[search]\nfactor = 1.001", "factor"),
        ("[search]\nstart = 200\nmax-rps = 100", "no more than max-rps, 100"),
        ('[[verdict.recovery]]\nload = "prediction"\nwithin = "1s"', "did you mean 'predictions'?"),
        ('[[loads]]\nname = "predictions"\npipeline = "b"\ntotal = 1', "each name once"),
        ('[search]\nload = "predicitons"', "did you mean 'predictions'?"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, more: str, problem: str) -> None:
    with pytest.raises(LoadError) as caught:
        read(tmp_path, f"{STEADY}\n{more}\n")
    assert problem in str(caught.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="is no TOML"):
        read(tmp_path, "description = ")


def test_the_scale_multiplies_all_times_and_no_rate(tmp_path: Path) -> None:
    event = '[[events]]\nat = "4s"\nwhat = "kill"\nprocess = "ingest"\nlasting = "2s"'
    scaled = read(tmp_path, f"{STEADY}\n{event}").scaled(0.5)
    assert scaled.loads[0].duration == timedelta(seconds=1)
    assert scaled.loads[0].rps == 20
    assert (scaled.events[0].at, scaled.events[0].lasting) == (
        timedelta(seconds=2),
        timedelta(seconds=1),
    )


def test_a_total_that_is_scaled_stays_an_end(tmp_path: Path) -> None:
    text = STEADY.replace('duration = "2s"', "total = 3")
    assert read(tmp_path, text).scaled(0.01).loads[0].total == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["steady", "--minutes", "x"], "x is no number from 0.001 to 10,000"),
        (["steady", "--seconds-scale", "0"], "0 is no number"),
        (["ramp", "--minutes", "1"], "a search has steps"),
        (["steady", "--json", "/"], "--json: / is a folder"),
        (["steady", "--json", "/no/such/file.json"], "no folder /no/such"),
        (["steady", "--html", __file__], "is a file"),
        (["steady", "--events-target", "a:1"], "--target HOST:PORT"),
    ],
)
def test_bad_flags_are_told_before_anything_starts(arguments: list[str], problem: str) -> None:
    with pytest.raises(LoadError) as caught:
        parse_arguments(arguments)
    assert problem in str(caught.value)


def test_an_unknown_scenario_is_told_the_nearest() -> None:
    with pytest.raises(LoadError, match="did you mean 'steady'"):
        parse_arguments(["stedy"])


def test_events_are_refused_for_a_mesh_that_is_somebody_elses(tmp_path: Path) -> None:
    event = '[[events]]\nat = "1s"\nwhat = "kill"\nprocess = "ingest"'
    file = write(tmp_path, f"{STEADY}\n{event}")
    with pytest.raises(LoadError, match="a mesh that the scenario starts, not to 127.0.0.1:1"):
        parse_arguments([str(file), "--target", "127.0.0.1:1"])


def test_minutes_are_the_length_of_the_loads() -> None:
    arguments = parse_arguments(["soak", "--minutes", "5"])
    assert arguments is not None
    assert arguments.scenario.loads[0].duration == timedelta(minutes=5)


def test_a_p99_is_for_searches_only() -> None:
    arguments = parse_arguments(["ramp", "--p99", "20ms"])
    assert arguments is not None and arguments.scenario.search is not None
    assert arguments.scenario.search.p99 == timedelta(milliseconds=20)
    with pytest.raises(LoadError, match="search a rate"):
        parse_arguments(["steady", "--p99", "20ms"])


def test_a_submission_has_its_method(tmp_path: Path) -> None:
    text = STEADY.replace('pipeline = "echo"', 'pipeline = "echo"\nkind = "submit"')
    load = read(tmp_path, text).loads[0]
    assert load.kind is LoadKind.SUBMIT
    assert load.options("127.0.0.1:1").call.endswith("SubmitPrediction")
