"""A compiled pipeline: exact version, blocks that leave ingest, what is carried, what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.directory import DirectoryContent, load_directory
from tailrace.runtime.pipeline.load import Problem
from tailrace.runtime.pipeline.plan import Pipeline
from tests.support.pipeline_files import PIPELINE, REMOVED, VIEWS, changed, write_folder, write_yaml


def compiled(folder: Path, content: Any = PIPELINE) -> Pipeline:
    """The only pipeline of a folder, which has to be sound."""
    loaded = load_directory(write_folder(folder, content))
    assert loaded.errors == {}
    return loaded.pipelines["tip"]


def problems_of(folder: Path, content: Any) -> list[Problem]:
    """What is wrong with the pipeline file."""
    loaded = load_directory(write_folder(folder, content))
    assert loaded.pipelines == {}
    return loaded.errors[folder / "pipelines" / "tip.yaml"].problems


def problem_of(folder: Path, content: Any) -> Problem:
    """The only thing wrong with it."""
    (problem,) = problems_of(folder, content)
    return problem


def layout_of(pipeline: Pipeline) -> dict[DType, list[tuple[str, ...]]]:
    """The blocks that leave ingest, by type."""
    blocks: dict[DType, list[tuple[str, ...]]] = {}
    for block in pipeline.ingest_layout:
        blocks.setdefault(block.dtype, []).append(block.names)
    return blocks


# --- versions ------------------------------------------------------------------------------


def test_version_is_the_declared_one_and_a_digest(tmp_path: Path) -> None:
    declared, _, digest = compiled(tmp_path).version.partition("-")

    assert declared == "1"
    assert len(digest) == 12
    assert int(digest, 16) >= 0


def test_same_files_have_the_same_version_wherever_they_are(tmp_path: Path) -> None:
    assert compiled(tmp_path / "a").version == compiled(tmp_path / "b").version


def test_version_changes_with_the_pipeline_file(tmp_path: Path) -> None:
    other = changed(PIPELINE, ("description", "Something else."))

    assert compiled(tmp_path / "a").version != compiled(tmp_path / "b", other).version


def test_version_changes_with_a_view_that_it_uses(tmp_path: Path) -> None:
    before = compiled(tmp_path).version
    view = changed(VIEWS["place"], ("features.0.default", 0.25))
    write_yaml(tmp_path / "features" / "place.yaml", view)

    assert load_directory(tmp_path / "pipelines").pipelines["tip"].version != before


def test_version_stays_when_another_view_changes(tmp_path: Path) -> None:
    before = compiled(tmp_path).version
    view = changed(VIEWS["place"], ("view", "other"))
    write_yaml(tmp_path / "features" / "other.yaml", view)

    assert load_directory(tmp_path / "pipelines").pipelines["tip"].version == before


def test_version_changes_with_a_user_function(tmp_path: Path) -> None:
    step = {
        "step": "function",
        "function": "steps:double",
        "inputs": ["distance"],
        "outputs": [{"name": "double"}],
    }
    content = changed(PIPELINE, ("ingest.steps.3", step), ("features.views", []))
    content = changed(content, ("model.inputs.0.columns", ["double"]))
    module = write_yaml(tmp_path / "pipelines" / "steps.py", "def double(distance): ...")
    before = compiled(tmp_path, content).version
    module.write_text("def double(distance): return distance * 2")

    assert load_directory(tmp_path / "pipelines").pipelines["tip"].version != before


def test_version_changes_with_a_label_file(tmp_path: Path) -> None:
    step = {
        "step": "top_k",
        "input": "score",
        "output": "best",
        "k": 1,
        "labels_file": "labels.txt",
    }
    content = changed(
        PIPELINE,
        ("postprocess.steps", [step]),
        ("postprocess.outputs", [{"name": "best", "column": "best.labels"}]),
    )
    labels = write_yaml(tmp_path / "pipelines" / "labels.txt", "a\nb\n")
    before = compiled(tmp_path, content).version
    labels.write_text("a\nc\n")

    assert load_directory(tmp_path / "pipelines").pipelines["tip"].version != before


# --- what leaves ingest --------------------------------------------------------------------


def test_columns_of_one_model_input_leave_as_one_block_of_its_type_and_order(
    tmp_path: Path,
) -> None:
    columns = ["driver_id", "at_month", "at_hour"]
    content = changed(PIPELINE, ("features.views", []), ("model.inputs.0.columns", columns))
    del content["postprocess"]["outputs"][2]

    layout = layout_of(compiled(tmp_path, content))

    # driver_id is int64 after ingest, but nobody else reads it.
    assert layout == {DType.FLOAT32: [tuple(columns), ("embedding",)]}


def test_column_that_others_read_too_keeps_its_type(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("model.inputs.0.columns.1", "zone_id"))

    layout = layout_of(compiled(tmp_path, content))

    # zone_id is a key of the view `place`, too; near is carried to postprocess.
    assert ("zone_id",) in layout[DType.INT64]
    assert ("at_hour", "near") in layout[DType.FLOAT32]


def test_carried_column_keeps_its_type(tmp_path: Path) -> None:
    content = changed(
        PIPELINE,
        ("ingest.steps.2.dtype", "float64"),
        ("postprocess.outputs.2.column", "near"),
    )

    assert layout_of(compiled(tmp_path, content))[DType.FLOAT64] == [("near",)]


def test_column_that_two_inputs_read_in_two_types_keeps_its_own(tmp_path: Path) -> None:
    second = {"name": "ids", "dtype": "int64", "columns": ["driver_id"]}
    content = changed(PIPELINE, ("model.inputs.1", second))

    layout = layout_of(compiled(tmp_path, content))

    assert any("driver_id" in names for names in layout[DType.INT64])


def test_column_that_two_inputs_read_in_one_type_leaves_once(tmp_path: Path) -> None:
    second = {"name": "again", "dtype": "float32", "columns": ["at_hour"]}
    content = changed(PIPELINE, ("model.inputs.1", second))

    names = [name for block in compiled(tmp_path, content).ingest_layout for name in block.names]

    assert names.count("at_hour") == 1
    assert len(names) == len(set(names))


def test_vector_leaves_in_a_block_of_its_own(tmp_path: Path) -> None:
    assert ("embedding",) in layout_of(compiled(tmp_path))[DType.FLOAT32]


def test_column_that_nobody_reads_stays_behind(tmp_path: Path) -> None:
    names = {name for block in compiled(tmp_path).ingest_layout for name in block.names}

    assert names == {"at_hour", "driver_id", "near", "embedding", "zone_id"}


# --- features and postprocess --------------------------------------------------------------


def test_keys_know_their_sources(tmp_path: Path) -> None:
    driver, place = compiled(tmp_path).views

    assert [(key.origin, key.name, key.column) for key in driver.keys] == [
        ("request", "driver", "driver.driver")
    ]
    assert [(key.origin, key.name, key.column) for key in place.keys] == [
        ("ingest", "zone_id", "place.zone")
    ]


def test_features_run_beside_ingest_only_if_no_key_comes_from_it(tmp_path: Path) -> None:
    beside = changed(PIPELINE, ("features.views.1.keys.zone", "request.zone"))

    assert not compiled(tmp_path / "a").features_beside_ingest
    assert compiled(tmp_path / "b", beside).features_beside_ingest


def test_carried_columns_are_what_postprocess_reads_of_earlier_hops(tmp_path: Path) -> None:
    scale = {"step": "scale", "input": "place.busy", "output": "busy", "factor": 100}
    content = changed(
        PIPELINE,
        ("postprocess.steps.1", scale),
        ("postprocess.outputs.1", {"name": "busy"}),
    )

    assert compiled(tmp_path, content).carried_columns == ("place.busy", "near")


def test_column_made_in_postprocess_is_not_carried(tmp_path: Path) -> None:
    # `near` is made again before it is read.
    scale = {"step": "scale", "input": "score", "output": "near"}
    content = changed(PIPELINE, ("postprocess.steps.0", scale))
    content = changed(content, ("postprocess.steps.1.input", "near"))
    content = changed(content, ("postprocess.outputs.0.column", "score"))

    assert compiled(tmp_path, content).carried_columns == ()


def test_outputs_have_types_and_shapes(tmp_path: Path) -> None:
    top = {"step": "top_k", "input": "score", "output": "best", "k": 2, "labels": ["a", "b"]}
    content = changed(
        PIPELINE,
        ("model.outputs.0.shape", [2]),
        ("postprocess.steps", [top]),
        (
            "postprocess.outputs",
            [{"name": "best", "column": "best.labels"}, {"name": "score"}, {"name": "near"}],
        ),
    )

    outputs = compiled(tmp_path, content).outputs

    assert [(output.name, output.dtype, output.row_shape) for output in outputs] == [
        ("best", DType.STRING, (2,)),
        ("score", DType.FLOAT32, (2,)),
        ("near", DType.FLOAT32, ()),
    ]


# --- names that refer to nothing -----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "where", "found", "suggestion"),
    [
        (
            "ingest.steps.1.input",
            "drivr",
            "ingest.steps[1].input",
            "the unknown column 'drivr'",
            "driver",
        ),
        (
            "features.views.0.view",
            "driver_",
            "features.views[0].view",
            "the unknown view 'driver_'",
            "driver",
        ),
        (
            "features.views.0.keys",
            {"drivr": "request.driver"},
            "features.views[0].keys.drivr",
            "the unknown key 'drivr'",
            "driver",
        ),
        (
            "features.views.0.keys.driver",
            "request.drivr",
            "features.views[0].keys.driver",
            "'request.drivr'",
            "request.driver",
        ),
        (
            "features.views.1.keys.zone",
            "ingest.zoneid",
            "features.views[1].keys.zone",
            "'ingest.zoneid'",
            "ingest.zone_id",
        ),
        (
            "model.inputs.0.columns.2",
            "nera",
            "model.inputs[0].columns[2]",
            "the unknown column 'nera'",
            "near",
        ),
        (
            "model.inputs.0.columns.4",
            "place.bussy",
            "model.inputs[0].columns[4]",
            "the unknown column 'place.bussy'",
            "place.busy",
        ),
        (
            "model.inputs.1.column",
            "embeding",
            "model.inputs[1].column",
            "the unknown column 'embeding'",
            "embedding",
        ),
        (
            "postprocess.steps.0.input",
            "scor",
            "postprocess.steps[0].input",
            "the unknown column 'scor'",
            "score",
        ),
        (
            "postprocess.outputs.0.name",
            "probabilty",
            "postprocess.outputs[0].name",
            "the unknown column 'probabilty'",
            "probability",
        ),
        (
            "postprocess.outputs.2.column",
            "neer",
            "postprocess.outputs[2].column",
            "the unknown column 'neer'",
            "near",
        ),
    ],
)
def test_unknown_name_is_one_problem_with_the_nearest_name(
    tmp_path: Path, path: str, value: Any, where: str, found: str, suggestion: str
) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, (path, value)))

    assert (problem.path, problem.found) == (where, found)
    assert problem.suggestion == suggestion
    assert problem.line > 1


@pytest.mark.parametrize(
    ("path", "value", "where", "found", "expected"),
    [
        (
            "features.views.0.keys.driver",
            "request.zone",
            "features.views[0].keys.driver",
            "'request.zone' of type int64",
            "type string, as in view 'driver'",
        ),
        (
            "features.views.0.keys",
            {},
            "features.views[0].keys",
            "nothing",
            "the key 'driver' of view 'driver'",
        ),
        (
            "features.views.1",
            {"view": "driver", "keys": {"driver": "request.driver"}},
            "features.views[1].view",
            "'driver' again",
            "each name once; `as` gives another one",
        ),
        (
            "model.inputs.0.columns.0",
            "driver",
            "model.inputs[0].columns[0]",
            "'driver' of type string",
            "a column that can be float32",
        ),
        (
            "postprocess.outputs.1.name",
            "probability",
            "postprocess.outputs[1].name",
            "'probability' again",
            "each name once",
        ),
        (
            "ingest.steps.0.prefix",
            "place.busy",
            "model.inputs[0].columns[0]",
            "the unknown column 'at_hour'",
            "a request field, an ingest column or <view>.<feature>",
        ),
    ],
)
def test_unfit_reference_is_told(
    tmp_path: Path, path: str, value: Any, where: str, found: str, expected: str
) -> None:
    problems = problems_of(tmp_path, changed(PIPELINE, (path, value)))

    told = [(problem.path, problem.found, problem.expected) for problem in problems]
    assert (where, found, expected) in told


def test_column_of_ingest_may_not_be_named_like_a_feature(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, changed(PIPELINE, ("ingest.steps.3.output", "place.busy")))

    assert problems[0].path == "ingest.steps[3]"
    assert problems[0].found == "the output 'place.busy', which is a feature, too"


def test_request_field_may_not_be_named_like_a_feature(tmp_path: Path) -> None:
    content = changed(PIPELINE)
    content["request"]["fields"]["place.busy"] = {"type": "double"}

    problem = problem_of(tmp_path, content)

    assert problem.path == "request.fields.place.busy"


def test_flag_column_is_there_only_if_the_view_says_so(tmp_path: Path) -> None:
    with_flag = changed(PIPELINE, ("model.inputs.0.columns.4", "place.missing"))
    without = changed(PIPELINE, ("model.inputs.0.columns.4", "driver.missing"))

    assert compiled(tmp_path / "a", with_flag).name == "tip"
    assert problem_of(tmp_path / "b", without).found == "the unknown column 'driver.missing'"


# --- directories ---------------------------------------------------------------------------


def test_broken_view_is_told_once_and_named_where_it_is_used(tmp_path: Path) -> None:
    directory = write_folder(tmp_path)
    broken = write_yaml(tmp_path / "features" / "place.yaml", "view: [")

    loaded = load_directory(directory)

    assert set(loaded.errors) == {broken, directory / "tip.yaml"}
    (problem,) = loaded.errors[directory / "tip.yaml"].problems
    assert problem.path == "features.views[1].view"
    assert problem.found == "the view 'place', whose own file is refused"


def test_broken_file_hides_no_good_one(tmp_path: Path) -> None:
    directory = write_folder(tmp_path)
    other = changed(PIPELINE, ("pipeline", "other"))
    write_yaml(directory / "other.yml", other)
    write_yaml(directory / "tip.yaml", "pipeline: [")

    loaded: DirectoryContent = load_directory(directory)

    assert list(loaded.pipelines) == ["other"]
    assert list(loaded.errors) == [directory / "tip.yaml"]


def test_two_files_may_not_name_the_same_pipeline(tmp_path: Path) -> None:
    directory = write_folder(tmp_path)
    second = write_yaml(directory / "tip2.yaml", PIPELINE)

    loaded = load_directory(directory)

    # Which of them is meant cannot be known.
    assert loaded.pipelines == {}
    assert set(loaded.errors) == {directory / "tip.yaml", second}
    assert loaded.errors[second].problems[0].path == "pipeline"


def test_two_files_may_not_name_the_same_view(tmp_path: Path) -> None:
    directory = write_folder(tmp_path)
    second = write_yaml(tmp_path / "features" / "place2.yaml", VIEWS["place"])

    loaded = load_directory(directory)

    assert "place" not in loaded.views
    assert loaded.pipelines == {}
    assert {tmp_path / "features" / "place.yaml", second} <= set(loaded.errors)
    assert loaded.errors[second].problems[0].path == "view"


def test_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    loaded = load_directory(tmp_path / "pipelines")

    assert (loaded.pipelines, loaded.views, loaded.errors) == ({}, {}, {})


def test_pipeline_without_views_needs_no_features_folder(tmp_path: Path) -> None:
    content = changed(
        PIPELINE,
        ("features", REMOVED),
        ("model.inputs.0.columns", ["at_hour"]),
    )
    directory = write_yaml(tmp_path / "pipelines" / "tip.yaml", content).parent

    pipeline = load_directory(directory).pipelines["tip"]

    assert pipeline.views == ()
    assert pipeline.features_beside_ingest
