"""`tailrace pipelines check` and `show` on files, without a mesh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tailrace.cli.main import app
from tailrace.cli.pipeline_check import check_path
from tests.support.objectives import write_objectives
from tests.support.pipeline_files import PIPELINE, VIEWS, changed, write_folder, write_yaml

FLIGHTS = Path(__file__).resolve().parents[2] / "examples" / "flights"


def run(*arguments: str | Path) -> Result:
    """The command's result; on a screen wide enough to keep lines whole."""
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(part) for part in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with sound `pipelines` and `features`."""
    write_folder(tmp_path)
    return tmp_path


def break_pipeline(folder: Path, *changes: tuple[str, Any]) -> Path:
    """Breaks the pipeline file of a folder."""
    return write_yaml(folder / "pipelines" / "tip.yaml", changed(PIPELINE, *changes))


@pytest.mark.parametrize("group", [[], ["pipelines"], ["features"]])
def test_help_offers_no_completion(group: list[str]) -> None:
    result = run(*group, "--help")

    assert result.exit_code == 0
    assert "completion" not in result.stdout


@pytest.mark.parametrize("place", ["", "pipelines", "pipelines/flight-delay.yaml", "features"])
def test_the_example_is_sound(place: str) -> None:
    result = run("pipelines", "check", FLIGHTS / place)

    assert (result.exit_code, result.stderr) == (0, "")


def test_sound_files_are_listed_with_their_versions(folder: Path) -> None:
    result = run("pipelines", "check", folder)

    assert result.exit_code == 0
    first, *views = result.stdout.splitlines()
    assert first.startswith(f"{folder}/pipelines/tip.yaml: pipeline tip 1-")
    assert views == [
        f"{folder}/features/driver.yaml: view driver: sound",
        f"{folder}/features/place.yaml: view place: sound",
    ]


def test_a_nan_default_that_its_model_input_does_not_take_is_a_warning(folder: Path) -> None:
    view = changed(VIEWS["place"], ("features.0.default", float("nan")))
    write_yaml(folder / "features" / "place.yaml", view)
    file = folder / "pipelines" / "tip.yaml"

    result = run("pipelines", "check", folder)

    assert result.exit_code == 0
    warning = f"{file}: warning: the default of feature 'place.busy' is NaN, which the model input"
    assert warning in result.stdout
    write_yaml(file, changed(PIPELINE, ("model.inputs.0.allow_nan", True)))
    assert "warning" not in run("pipelines", "check", folder).stdout


def test_every_problem_of_every_file_is_told(folder: Path) -> None:
    broken = break_pipeline(folder, ("modle", {}), ("version", 1))
    misspelt = changed(VIEWS["place"], ("on_mising", "x"))
    view = write_yaml(folder / "features" / "place.yaml", misspelt)

    result = run("pipelines", "check", folder)

    assert result.exit_code == 1
    assert f"{broken}:2: version: found 1, expected text: put it in quotes" in result.stdout
    assert "modle: found the unknown name 'modle'" in result.stdout
    assert f"{view}:" in result.stdout
    assert "(did you mean 'on_missing'?)" in result.stdout


def test_problem_that_only_a_service_sees_is_told(folder: Path) -> None:
    # A step that cannot work on its column, a user function that is not there, and a default
    # that its own field refuses.
    function = {
        "step": "function",
        "function": "steps:doubel",
        "inputs": ["distance"],
        "outputs": [{"name": "zone_id", "dtype": "int64"}],
    }
    write_yaml(folder / "pipelines" / "steps.py", "def double(distance): return distance * 2")
    break_pipeline(
        folder,
        ("ingest.steps.0.input", "distance"),
        ("ingest.steps.3", function),
        ("request.fields.zone.default", -5),
    )

    result = run("pipelines", "check", folder)

    assert result.exit_code == 1
    assert "ingest.steps[0].input: found 'distance' of type float64" in result.stdout
    assert "ingest.steps[3].function: found 'doubel'" in result.stdout
    assert "(did you mean 'double'?)" in result.stdout
    assert "request.fields.zone.default: found " in result.stdout


def test_user_code_that_ends_the_process_on_import_is_a_problem(folder: Path) -> None:
    function = {
        "step": "function",
        "function": "script:run",
        "inputs": ["zone"],
        "outputs": [{"name": "zone_id", "dtype": "int64"}],
    }
    write_yaml(folder / "pipelines" / "script.py", "import sys\nsys.exit('usage: script FILE')")
    break_pipeline(folder, ("ingest.steps.3", function))

    result = run("pipelines", "check", folder)

    assert result.exit_code == 1
    assert "fails to import: SystemExit: usage: script FILE" in result.stdout


def test_one_file_is_checked_alone(folder: Path) -> None:
    other = changed(PIPELINE, ("pipeline", "other"), ("version", 1))
    broken = write_yaml(folder / "pipelines" / "other.yaml", other)

    sound = run("pipelines", "check", folder / "pipelines" / "tip.yaml")
    refused = run("pipelines", "check", broken)

    assert (sound.exit_code, refused.exit_code) == (0, 1)
    assert len(sound.stdout.splitlines()) == len(refused.stdout.splitlines()) == 1


def test_broken_view_of_a_checked_file_is_told_with_it(folder: Path) -> None:
    view = write_yaml(folder / "features" / "place.yaml", "view: [")

    result = run("pipelines", "check", folder / "pipelines" / "tip.yaml")

    assert result.exit_code == 1
    assert f"{view}:" in result.stdout
    assert "the view 'place', whose own file is refused" in result.stdout


def test_view_file_is_checked_as_one(folder: Path) -> None:
    sound = run("pipelines", "check", folder / "features" / "driver.yaml")
    broken = write_yaml(folder / "features" / "place.yaml", changed(VIEWS["place"], ("keys", [])))
    refused = run("pipelines", "check", broken)

    assert (sound.exit_code, refused.exit_code) == (0, 1)
    assert "view driver: sound" in sound.stdout
    assert "keys: found no entries, expected at least 1 entry" in refused.stdout


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
def test_nothing_to_check_is_a_failure(tmp_path: Path, made: bool) -> None:
    path = tmp_path / "pipelines"
    if made:
        path.mkdir()

    assert run("pipelines", "check", path).exit_code == 1


def test_file_of_another_kind_is_refused(folder: Path) -> None:
    file = write_yaml(folder / "pipelines" / "notes.txt", "hello")

    result = run("pipelines", "check", file)

    assert result.exit_code == 1
    assert "found 'notes.txt', expected the name of a pipeline file" in result.stdout


def test_folder_may_be_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "pipelines")

    report = check_path(Path("."))

    assert report.errors == []
    assert len(report.views) == 2
    assert check_path(Path("tip.yaml")).pipelines[0].name == "tip"


def test_file_is_shown_as_a_tree(folder: Path) -> None:
    result = run("pipelines", "show", folder / "pipelines" / "tip.yaml")

    assert result.exit_code == 0
    for text in (
        "What a ride is worth.",
        "deadline: 100 ms, at most 1000 ms",
        "driver string, required",
        "zone int64, default 0, 0 to …",
        "embedding tensor of float32 [4]",
        "vocabulary driver → driver_id int64",
        "features after ingest; if the hop fails: defaults",
        "place by zone = ingest.zone_id",
        "missing: default, older than 86400 s: default",
        "model tip_model, version latest",
        "in  features float32, 5 columns: at_hour, driver_id, near, driver.rides, place.busy",
        "probability float32 1  Of a tip.",
    ):
        assert text in result.stdout


def test_lists_names_and_instants_are_shown(folder: Path) -> None:
    content = changed(
        PIPELINE,
        ("request.fields.zones", {"type": "int64", "max_items": 5, "required": True}),
        ("features.views.1.keys.zone", "request.zones"),
        ("features.views.1.as", "near"),
        ("features.views.1.at", "request.pickup"),
        ("model.inputs.0.columns.4", "near.busy"),
        ("model.outputs.0.shape", [5]),
        ("postprocess", {"outputs": [{"name": "score", "length_of": "zones"}]}),
    )
    write_yaml(folder / "pipelines" / "tip.yaml", content)

    result = run("pipelines", "show", folder / "pipelines" / "tip.yaml")

    assert result.exit_code == 0
    for text in (
        "zones list of at most 5 int64, required",
        "near the view place by zone = each of request.zones at request.pickup",
        "score float32, one for each of zones",
    ):
        assert text in result.stdout


def test_file_is_shown_as_json(folder: Path) -> None:
    result = run("pipelines", "show", folder / "pipelines" / "tip.yaml", "--json")

    document = json.loads(result.stdout)
    assert document["name"] == "tip"
    assert [field["name"] for field in document["request_fields"]] == list(
        PIPELINE["request"]["fields"]
    )


def test_objectives_are_shown(tmp_path: Path) -> None:
    file = write_objectives(tmp_path / "tip") / "pipelines" / "tip.yaml"

    tree = run("pipelines", "show", file)
    document = json.loads(run("pipelines", "show", file, "--json").stdout)

    for text in (
        "objectives over 30 days",
        " latency p99 within 80 ms",
        "features latency p99 within 40 ms",
        "availability at least 99.5 %",
        "degraded answers at most 5 %",
        "fresh feature rows at least 90 %",
        "delivery p95 within 1000 ms",
    ):
        assert text in tree.stdout
    assert document["objectives"]["window_days"] == 30
    assert document["objectives"]["latency"][1] == {
        "percentile": 99.0,
        "within_ms": 40.0,
        "hop": "features",
    }


def test_what_is_not_promised_is_not_shown(tmp_path: Path) -> None:
    some = write_objectives(tmp_path / "some", {"window_days": 1, "availability_percent": 99})
    none = write_folder(tmp_path / "none") / "tip.yaml"

    tree = run("pipelines", "show", some / "pipelines" / "tip.yaml")
    without = json.loads(run("pipelines", "show", none, "--json").stdout)

    assert "objectives over 1 day\n" in tree.stdout
    assert "fresh" not in tree.stdout and "degraded" not in tree.stdout
    assert "objectives" not in without


def test_broken_file_is_not_shown(folder: Path) -> None:
    broken = break_pipeline(folder, ("version", 1))

    result = run("pipelines", "show", broken)

    assert result.exit_code == 1
    assert "put it in quotes" in str(result.exception)
