"""Views as a pipeline file reads them: under a name of its own, for an instant, by its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import Problem
from tests.support.pipeline_files import PIPELINE, changed, write_folder

BEFORE = {"view": "place", "as": "before", "keys": {"zone": "request.zone"}}
COLUMNS = ["at_hour", "driver_id", "near", "driver.rides", "place.busy", "before.busy"]


def with_views(*uses: dict[str, Any], columns: list[str] | None = None) -> dict[str, Any]:
    """A pipeline that reads `driver`, `place` and these views."""
    views = [*PIPELINE["features"]["views"], *uses]
    return changed(
        PIPELINE, ("features.views", views), ("model.inputs.0.columns", columns or COLUMNS)
    )


def compiled(folder: Path, content: Any) -> Pipeline:
    """The only pipeline of a folder, which has to be sound."""
    loaded = load_directory(write_folder(folder, content))
    assert loaded.errors == {}
    return loaded.pipelines["tip"]


def problem_of(folder: Path, content: Any) -> Problem:
    """The only thing wrong with the pipeline file."""
    (problem,) = (
        load_directory(write_folder(folder, content))
        .errors[folder / "pipelines" / "tip.yaml"]
        .problems
    )
    return problem


def test_a_view_is_read_twice_under_two_names(tmp_path: Path) -> None:
    _, place, before = compiled(tmp_path, with_views(BEFORE)).views

    assert (place.name, before.name) == ("place", "before")
    assert place.view is before.view
    assert [key.column for key in (*place.keys, *before.keys)] == ["place.zone", "before.zone"]
    assert [column.name for column in before.columns()] == [
        "before.busy", "before.name", "before.missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("use", "part", "name"),
    [
        ({"view": "place", "keys": {"zone": "request.zone"}}, "view", "place"),
        ({"view": "place", "as": "driver", "keys": {"zone": "request.zone"}}, "as", "driver"),
    ],
)
def test_two_views_may_not_have_one_name(
    tmp_path: Path, use: dict[str, Any], part: str, name: str
) -> None:
    content = with_views(use, columns=COLUMNS[:5])

    problem = problem_of(tmp_path, content)

    assert problem.path == f"features.views[2].{part}"
    assert problem.found == f"{name!r} again"
    assert problem.line > 1


def test_a_view_with_another_name_is_not_found_under_its_own(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("features.views.1.as", "area"))

    problem = problem_of(tmp_path, content)

    assert problem.path == "model.inputs[0].columns[4]"
    assert problem.found == "the unknown column 'place.busy'"
    assert problem.suggestion == "area.busy"


def test_columns_of_a_view_that_is_not_there_are_no_further_problem(tmp_path: Path) -> None:
    content = with_views({**BEFORE, "view": "plaice"})

    problem = problem_of(tmp_path, content)

    assert (problem.path, problem.suggestion) == ("features.views[2].view", "place")


def test_a_request_field_may_not_be_named_like_a_feature_under_a_given_name(
    tmp_path: Path,
) -> None:
    content = with_views(BEFORE)
    content["request"]["fields"]["before.busy"] = {"type": "double"}

    assert problem_of(tmp_path, content).path == "request.fields.before.busy"


def test_a_misspelt_as_is_told_by_its_name_in_the_file(tmp_path: Path) -> None:
    content = with_views({"view": "place", "ass": "before", "keys": {"zone": "request.zone"}})

    problem = problem_of(tmp_path, content)

    assert problem.path == "features.views[2].ass"
    assert problem.suggestion == "as"
    assert problem.expected == "one of: view, as, keys, at"


def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, with_views({**BEFORE, "as": "be.fore"}))

    assert problem.path == "features.views[2].as"
    assert problem.expected.startswith("a name: ")


# --- instants ------------------------------------------------------------------------------


def test_an_instant_comes_from_a_request_field(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("features.views.0.at", "request.pickup"))
    content["features"]["views"].pop()
    content["model"]["inputs"][0]["columns"].pop()

    pipeline = compiled(tmp_path, content)

    (driver,) = pipeline.views
    assert driver.instant is not None
    assert (driver.instant.origin, driver.instant.name) == ("request", "pickup")
    assert driver.instant.column == "driver.@at"
    assert pipeline.features_beside_ingest


def test_an_instant_that_ingest_makes_is_handed_on_and_waited_for(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("features.views.0.at", "ingest.scheduled"))
    content["features"]["views"].pop()
    content["model"]["inputs"][0]["columns"].pop()
    content["ingest"]["steps"].append(
        {"step": "cast", "input": "pickup", "output": "scheduled", "dtype": "timestamp"}
    )

    pipeline = compiled(tmp_path, content)

    assert not pipeline.features_beside_ingest
    names = {block.dtype: block.names for block in pipeline.ingest_layout}
    assert names[DType.TIMESTAMP] == ("scheduled",)


def test_a_view_without_an_instant_is_read_for_the_time_of_the_lookup(tmp_path: Path) -> None:
    assert [plan.instant for plan in compiled(tmp_path, PIPELINE).views] == [None, None]


@pytest.mark.parametrize(
    ("at", "found", "expected", "suggestion"),
    [
        ("request.pikup", "'request.pikup'", "a request field", "request.pickup"),
        ("ingest.pickups", "'ingest.pickups'", "an ingest column", "ingest.pickup"),
        ("request.zone", "'request.zone' of type int64", "type timestamp", ""),
        ("requst.pickup", "'requst.pickup'", "request.<field> or ingest.<column>",
         "request.pickup"),
        ("pickup", "'pickup'", "request.<field> or ingest.<column>", ""),
    ],
)  # fmt: skip
def test_an_unfit_instant_is_told(
    tmp_path: Path, at: str, found: str, expected: str, suggestion: str
) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, ("features.views.0.at", at)))

    assert problem.path == "features.views[0].at"
    assert (problem.found, problem.expected, problem.suggestion) == (found, expected, suggestion)
