"""Lists in a pipeline file: as keys, beside single values, and as long as a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.inference.backend import ModelMetadata, TensorInfo
from tailrace.inference.compile import compile_for_inference
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.description import describe_pipeline
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import Problem
from tests.support.pipeline_files import VIEWS, changed, write_yaml

PIPELINE: dict[str, Any] = {
    "pipeline": "rank",
    "version": "1",
    "request": {
        "fields": {
            "driver": {"type": "string"},
            "zones": {"type": "int64", "max_items": 5},
            "others": {"type": "int64", "max_items": 4},
            "weights": {"type": "tensor", "dtype": "float32", "shape": [5]},
            "when": {"type": "tensor", "dtype": "timestamp", "shape": [2]},
        }
    },
    "features": {
        "views": [
            {"view": "driver", "keys": {"driver": "request.driver"}},
            {"view": "place", "keys": {"zone": "request.zones"}},
        ]
    },
    "model": {
        "name": "ranker",
        "inputs": [
            {
                "name": "features",
                "dtype": "float32",
                "columns": ["driver.rides", "place.busy", "zones"],
            }
        ],
        "outputs": [{"name": "score", "dtype": "float32", "shape": [5]}],
    },
    "postprocess": {"outputs": [{"name": "score", "length_of": "zones"}]},
}


def loaded(folder: Path, content: Any, views: Any = VIEWS) -> Any:
    """The directory of the pipeline."""
    for name, view in views.items():
        write_yaml(folder / "features" / f"{name}.yaml", view)
    return load_directory(write_yaml(folder / "pipelines" / "rank.yaml", content).parent)


def compiled(folder: Path, *changes: tuple[str, Any]) -> Pipeline:
    """The pipeline, with changes, which has to be sound."""
    content = loaded(folder, changed(PIPELINE, *changes))
    assert content.errors == {}
    pipeline: Pipeline = content.pipelines["rank"]
    return pipeline


def problems_of(folder: Path, *changes: tuple[str, Any]) -> list[Problem]:
    """What is wrong with the pipeline."""
    content = loaded(folder, changed(PIPELINE, *changes))
    problems: list[Problem] = content.errors[folder / "pipelines" / "rank.yaml"].problems
    return problems


def test_a_list_of_keys_makes_lists_of_features(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path)

    driver, place = pipeline.views
    (key,) = place.keys
    assert (key.elements, key.length, place.elements) == (5, "zones.length", 5)
    assert (driver.keys[0].elements, driver.keys[0].length, driver.elements) == (None, None, None)
    assert {column.name: column.row_shape for column in place.columns()} == {
        "place.busy": (5,), "place.name": (5,), "place.missing": (5,),
    }  # fmt: skip
    assert pipeline.features_beside_ingest


def test_a_list_that_a_view_is_read_by_may_come_from_ingest(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("ingest", {"steps": [{"step": "clip", "input": "zones", "output": "near", "minimum": 0,
                               "maximum": 9, "dtype": "int64"}]}),
        ("features.views.1.keys.zone", "ingest.near"),
    )  # fmt: skip

    (key,) = pipeline.views[1].keys
    assert (key.origin, key.elements, key.length) == ("ingest", 5, "zones.length")
    names = {name for block in pipeline.ingest_layout for name in block.names}
    assert {"near", "zones.length"} <= names
    assert not pipeline.features_beside_ingest


def test_lengths_are_handed_to_the_model_beside_lists(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path)

    assert pipeline.model_columns() == {"driver.rides", "place.busy", "zones", "zones.length"}
    blocks = {block.names: block.dtype for block in pipeline.ingest_layout}
    assert blocks == {("zones",): DType.FLOAT32, ("zones.length",): DType.INT64}


def test_lengths_are_handed_on_where_only_features_are_lists(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path, ("model.inputs.0.columns", ["driver.rides", "place.busy"]))

    assert [block.names for block in pipeline.ingest_layout] == [("zones.length",)]


def test_a_length_may_be_a_column_of_the_model(tmp_path: Path) -> None:
    columns = ["place.busy", "zones.length"]

    assert compiled(tmp_path, ("model.inputs.0.columns", columns)).model_columns() == set(columns)


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ({"columns": ["driver.rides", "place.busy", "zones"]}, "[-1, 5, 3]"),
        ({"columns": ["driver.rides"]}, "[-1, 1]"),
        ({"column": "place.busy"}, "[-1, 5]"),
    ],
)
def test_the_shape_of_lists_is_held_against_the_models(
    tmp_path: Path, source: dict[str, Any], shape: str
) -> None:
    inputs = [{"name": "features", "dtype": "float32", **source}]
    plan = compile_for_inference(compiled(tmp_path, ("model.inputs", inputs)))
    features = TensorInfo("features", DType.FLOAT32, "FP32", (-1, 99, 99, 99))
    score = TensorInfo("score", DType.FLOAT32, "FP32", (-1, 5))

    found = plan.mismatch(ModelMetadata("ranker", "1", {"features": features}, {"score": score}))

    assert f"{shape} in the pipeline" in found


def test_an_output_of_one_column_per_item_is_a_list(tmp_path: Path) -> None:
    (output,) = compiled(tmp_path, ("model.outputs.0.shape", [5, 1])).outputs

    assert (output.row_shape, output.length_of) == ((5,), "zones")


def test_an_output_may_have_several_numbers_per_item(tmp_path: Path) -> None:
    (output,) = compiled(tmp_path, ("model.outputs.0.shape", [5, 3])).outputs

    assert output.row_shape == (5, 3)


def test_what_is_a_list_is_described(tmp_path: Path) -> None:
    description = describe_pipeline(compiled(tmp_path))

    fields = {field.name: field.max_items for field in description.request_fields}
    assert fields == {"driver": 0, "zones": 5, "others": 4, "weights": 0, "when": 0}
    assert [key.elements for view in description.views for key in view.keys] == [0, 5]
    assert description.outputs[0].length_of == "zones"


# --- what cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "where", "found", "expected"),
    [
        (
            "model.inputs.0.columns",
            ["place.busy", "others"],
            "model.inputs[0].columns[1]",
            "'others', a list of at most 4",
            "at most 5, as 'place.busy' beside it",
        ),
        (
            "model.inputs.0.columns",
            ["place.busy", "weights"],
            "model.inputs[0].columns[1]",
            "'weights', which holds tensors of shape [5]",
            "columns of single values, or lists of them; name it in `column`",
        ),
        (
            "features.views.0.at",
            "request.when",
            "features.views[0].at",
            "'request.when', which holds tensors of shape [2]",
            "a single value",
        ),
        (
            "postprocess.outputs.0.length_of",
            "zone",
            "postprocess.outputs[0].length_of",
            "'zone'",
            "a list, one of: zones, others",
        ),
        (
            "postprocess.outputs.0.length_of",
            "others",
            "postprocess.outputs[0].length_of",
            "'score' of shape [5]",
            "a shape that begins with 4, as 'others' has",
        ),
        (
            "request.fields.zones.length",
            {"type": "int64"},
            "request.fields.zones.length",
            "the name of the length of the list 'zones'",
            "another name",
        ),
    ],
)
def test_what_lists_cannot_do_is_told(
    tmp_path: Path, path: str, value: Any, where: str, found: str, expected: str
) -> None:
    content = changed(PIPELINE)
    if path.endswith("zones.length"):
        content["request"]["fields"]["zones.length"] = value
    else:
        content = changed(PIPELINE, (path, value))

    problems = loaded(tmp_path, content).errors[tmp_path / "pipelines" / "rank.yaml"].problems

    told = [(problem.path, problem.found, problem.expected) for problem in problems]
    assert told == [(where, found, expected)]


def test_a_tensor_is_no_key(tmp_path: Path) -> None:
    weights = {"type": "tensor", "dtype": "int64", "shape": [5]}

    (problem, *_) = problems_of(
        tmp_path,
        ("request.fields.weights", weights),
        ("features.views.1.keys.zone", "request.weights"),
    )

    assert problem.path == "features.views[1].keys.zone"
    assert problem.found == "'request.weights', which holds tensors of shape [5]"


def test_two_lists_in_one_key_are_refused(tmp_path: Path) -> None:
    route = {
        "view": "route",
        "entity": "route",
        "keys": [{"name": "from", "type": "int64"}, {"name": "to", "type": "int64"}],
        "features": [{"name": "rides", "type": "int64"}],
    }
    use = {"view": "route", "keys": {"from": "request.zones", "to": "request.others"}}
    content = changed(PIPELINE, ("features.views", [*PIPELINE["features"]["views"], use]))

    errors = loaded(tmp_path, content, {**VIEWS, "route": route}).errors
    (problem,) = errors[tmp_path / "pipelines" / "rank.yaml"].problems

    assert problem.path == "features.views[2].keys.to"
    assert problem.found == "the list 'others' beside the list 'zones'"


def test_the_length_of_a_list_may_not_be_named_like_a_feature(tmp_path: Path) -> None:
    views = {**VIEWS, "place": changed(VIEWS["place"], ("features.1.name", "length"))}
    content = changed(PIPELINE, ("features.views.1.as", "zones"),
                      ("model.inputs.0.columns.1", "zones.busy"))  # fmt: skip

    errors = loaded(tmp_path, content, views).errors
    (problem,) = errors[tmp_path / "pipelines" / "rank.yaml"].problems

    assert problem.path == "request.fields.zones"
    assert problem.found == "a list whose length has the name of the feature column 'zones.length'"


def test_a_step_may_not_make_the_length_of_a_list(tmp_path: Path) -> None:
    step = {"step": "cast", "input": "zones", "output": "zones.length", "dtype": "int64"}

    (problem, *_) = problems_of(tmp_path, ("ingest", {"steps": [step]}))

    assert problem.path == "ingest.steps[0]"
    assert problem.found == "the output 'zones.length', the length of 'zones'"
