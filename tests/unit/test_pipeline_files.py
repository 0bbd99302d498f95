"""A broken file is told with file, line, path, found, expected and the nearest valid name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.runtime.pipeline.base import COLUMN_PATTERN, NAME_PATTERN, PATTERN_TEXTS
from tailrace.runtime.pipeline.load import (
    Problem,
    SpecError,
    load_feature_view,
    load_pipeline_spec,
    nearest,
    read_yaml,
)
from tailrace.runtime.pipeline.spec import PipelineSpec
from tests.support.pipeline_files import PIPELINE, REMOVED, VIEWS, changed, renamed, write_yaml

FLIGHTS = Path(__file__).resolve().parents[2] / "examples" / "flights"


def problems_of(tmp_path: Path, content: Any) -> list[Problem]:
    """What is wrong with a pipeline file of this content, which has to be refused."""
    with pytest.raises(SpecError) as caught:
        load_pipeline_spec(write_yaml(tmp_path / "tip.yaml", content))
    assert caught.value.file == tmp_path / "tip.yaml"
    return caught.value.problems


def problem_of(tmp_path: Path, content: Any) -> Problem:
    """The only thing wrong with it."""
    (problem,) = problems_of(tmp_path, content)
    return problem


def view_problem_of(tmp_path: Path, content: Any) -> Problem:
    """The only thing wrong with a view file of this content."""
    with pytest.raises(SpecError) as caught:
        load_feature_view(write_yaml(tmp_path / "view.yaml", content))
    (problem,) = caught.value.problems
    return problem


def test_the_files_that_the_others_change_are_sound(tmp_path: Path) -> None:
    spec, digest = load_pipeline_spec(write_yaml(tmp_path / "tip.yaml", PIPELINE))

    assert isinstance(spec, PipelineSpec)
    assert len(digest) == 64
    for name, view in VIEWS.items():
        load_feature_view(write_yaml(tmp_path / f"{name}.yaml", view))


@pytest.mark.parametrize("path", sorted(FLIGHTS.glob("pipelines/*.yaml")), ids=lambda p: p.name)
def test_pipelines_of_the_example_are_sound(path: Path) -> None:
    load_pipeline_spec(path)


# --- misspelt names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "slip"),
    [
        ("pipeline", "pipelne"),
        ("ingest", "injest"),
        ("model", "modle"),
        ("request", "requests"),
        ("request.fields", "field"),
        ("request.fields.driver.max_length", "max_lenght"),
        ("request.fields.driver.required", "requird"),
        ("request.fields.zone.minimum", "min"),
        ("request.fields.embedding.shape", "shap"),
        ("ingest.steps", "step"),
        ("ingest.steps.0.parts", "part"),
        ("ingest.steps.0.prefix", "prefx"),
        ("ingest.steps.1.values", "valus"),
        ("ingest.steps.2.maximum", "maximun"),
        ("features.on_failure", "on_fail"),
        ("features.views", "view"),
        ("features.views.0.view", "veiw"),
        ("features.views.0.keys", "key"),
        ("model.inputs", "input"),
        ("model.inputs.0.columns", "colums"),
        ("model.inputs.0.dtype", "dtpye"),
        ("model.outputs.0.shape", "shpe"),
        ("postprocess.steps", "setps"),
        ("postprocess.steps.1.labels", "label"),
        ("postprocess.outputs.0.unit", "units"),
        ("deadline.default_ms", "defaults_ms"),
        ("budgets.inference", "inferense"),
        ("budgets.inference.cap_ms", "cap"),
    ],
)
def test_misspelt_name_is_one_problem_with_the_nearest_name(
    tmp_path: Path, path: str, slip: str
) -> None:
    problem = problem_of(tmp_path, renamed(PIPELINE, path, slip))

    *above, right = path.split(".")
    in_file = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in [*above, slip])
    assert problem.path == in_file.removeprefix(".")
    assert problem.found == f"the unknown name {slip!r}"
    assert right in problem.expected.removeprefix("one of: ").split(", ")
    assert problem.suggestion == right
    written = (tmp_path / "tip.yaml").read_text().splitlines()
    assert slip in written[problem.line - 1]


@pytest.mark.parametrize(
    ("path", "value", "suggestion"),
    [
        ("request.fields.driver.type", "sting", "string"),
        ("request.fields.embedding.dtype", "flot32", "float32"),
        ("ingest.steps.1.step", "vocabulry", "vocabulary"),
        ("ingest.steps.0.parts.1", "mnth", "month"),
        ("ingest.steps.0.timezone", "America/NewYork", "America/New_York"),
        ("ingest.steps.1.unknown", "fial", "fail"),
        ("ingest.steps.3.dtype", "itn64", "int64"),
        ("features.on_failure", "default", "defaults"),
        ("features.views.0.keys.driver", "requst.driver", "request.driver"),
        ("model.version", "lastest", "latest"),
        ("model.inputs.0.dtype", "float_32", "float32"),
        ("postprocess.steps.0.step", "plat", "platt"),
    ],
)
def test_misspelt_value_is_one_problem_with_the_nearest_value(
    tmp_path: Path, path: str, value: str, suggestion: str
) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, (path, value)))

    in_file = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))
    assert problem.path == in_file.removeprefix(".")
    assert problem.found == repr(value)
    assert problem.suggestion == suggestion
    written = (tmp_path / "tip.yaml").read_text().splitlines()
    assert value in written[problem.line - 1]


@pytest.mark.parametrize("path", ["request.fields.driver.type", "ingest.steps.1.step"])
def test_misspelt_discriminator_is_told_with_its_name(tmp_path: Path, path: str) -> None:
    right = path.rpartition(".")[2]
    problem = problem_of(tmp_path, renamed(PIPELINE, path, f"{right}e"))

    assert problem.found == f"the unknown name '{right}e'"
    assert problem.expected.startswith(f"{right}, one of: ")
    assert problem.suggestion == right


def test_name_with_nothing_near_has_no_suggestion(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, ("zzzzzz", 1)))

    assert problem.suggestion == ""
    assert problem.expected == (
        "one of: pipeline, version, description, owner, request, ingest, features, model, "
        "postprocess, deadline, budgets, slo"
    )


def test_parameter_named_like_its_step_is_found(tmp_path: Path) -> None:
    # pydantic puts the step's name into the path, where it looks like the parameter.
    content = changed(PIPELINE, ("postprocess.steps.1.labels", ["only one"]))

    problem = problem_of(tmp_path, content)

    assert problem.path == "postprocess.steps[1].labels[1]"
    assert problem.found == "nothing"


# --- missing and wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("version", "text: it is required"),
        ("request", "a mapping of names to values: it is required"),
        ("model", "a mapping of names to values: it is required"),
        ("model.name", "text: it is required"),
        ("model.outputs", "a list: it is required"),
        ("ingest.steps.1.values", "a list: it is required"),
        ("postprocess.steps.0.a", "a number: it is required"),
    ],
)
def test_missing_value_says_what_is_required(tmp_path: Path, path: str, expected: str) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, (path, REMOVED)))

    in_file = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))
    assert problem.path == in_file.removeprefix(".")
    assert (problem.found, problem.expected) == ("nothing", expected)


def test_missing_discriminator_lists_the_choices(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, ("ingest.steps.1.step", REMOVED)))

    assert problem.path == "ingest.steps[1]"
    assert problem.found == "no step"
    assert problem.expected.startswith("step, one of: fill, clip, ")


@pytest.mark.parametrize(
    ("path", "value", "where", "found", "expected"),
    [
        ("version", 1, "version", "1", "text: put it in quotes"),
        ("version", 1.0, "version", "1.0", "text: put it in quotes"),
        ("description", ["a"], "description", "['a']", "text"),
        ("request", None, "request", "nothing", "a mapping of names to values"),
        ("request.fields", [], "request.fields", "[]", "a mapping of names to values"),
        ("request.fields", {}, "request.fields", "no entries", "at least 1 entry"),
        (
            "request.fields.driver",
            "string",
            "request.fields.driver",
            "'string'",
            "a mapping of names to values",
        ),
        (
            "request.fields.driver.max_length",
            "long",
            "request.fields.driver.max_length",
            "'long'",
            "an integer",
        ),
        (
            "request.fields.driver.max_length",
            0,
            "request.fields.driver.max_length",
            "0",
            "a number of at least 1",
        ),
        (
            "request.fields.driver.default",
            False,
            "request.fields.driver.default",
            "false",
            "text: put it in quotes",
        ),
        (
            "request.fields.driver.required",
            "maybe",
            "request.fields.driver.required",
            "'maybe'",
            "true or false",
        ),
        ("request.fields.zone.minimum", 1.5, "request.fields.zone.minimum", "1.5", "an integer"),
        ("request.fields.zone.minimum", True, "request.fields.zone.minimum", "true", "a number"),
        (
            "request.fields.pickup.default",
            "2013-01-01T00:00:00",
            "request.fields.pickup.default",
            "2013-01-01T00:00:00",
            "an instant with its offset, such as 2013-01-01T05:00:00Z",
        ),
        (
            "request.fields.pickup.default",
            "soon",
            "request.fields.pickup.default",
            "'soon'",
            "an instant such as 2013-01-01T05:00:00Z",
        ),
        (
            "request.fields.embedding.shape",
            [],
            "request.fields.embedding.shape",
            "no entries",
            "at least 1 entry",
        ),
        (
            "request.fields.embedding.shape",
            [-1],
            "request.fields.embedding.shape[0]",
            "-1",
            "a number of at least 1",
        ),
        (
            "request.fields.embedding.dtype",
            "string",
            "request.fields.embedding.dtype",
            "string, which has no fixed size",
            "a numeric dtype; text has a type of its own",
        ),
        ("ingest.steps", {"a": 1}, "ingest.steps", "a mapping", "a list"),
        (
            "ingest.steps.1",
            "vocabulary",
            "ingest.steps[1]",
            "'vocabulary'",
            "a mapping of names to values",
        ),
        (
            "ingest.steps.1.values",
            ["a", 1],
            "ingest.steps[1].values[1]",
            "1",
            "text: put it in quotes",
        ),
        # A list of country codes with Norway in it.
        (
            "ingest.steps.1.values",
            ["SE", False],
            "ingest.steps[1].values[1]",
            "false",
            "a number, or text; what YAML takes for true or false needs quotes",
        ),
        (
            "ingest.steps.1.values",
            ["a", "b", "a"],
            "ingest.steps[1].values[2]",
            "'a' again",
            "each value once",
        ),
        (
            "ingest.steps.2.minimum",
            10,
            "ingest.steps[2].minimum",
            "10",
            "a minimum at or below the maximum, 9",
        ),
        (
            "features.views.0.keys.driver",
            "driver",
            "features.views[0].keys.driver",
            "'driver'",
            "request.<field> or ingest.<column>",
        ),
        (
            "model.version",
            1,
            "model.version",
            "1",
            "latest, a version number in quotes such as '1', or a mapping with weights",
        ),
        (
            "model.version",
            {"weights": {"1": 50, "2": -1}},
            "model.version.weights.2",
            "-1",
            "a finite weight, not below zero",
        ),
        (
            "model.version",
            {"weights": {"1": 0}},
            "model.version.weights",
            "no weight above zero",
            "at least one",
        ),
        (
            "model.version",
            {"weights": {"one": 1}},
            "model.version.weights.one",
            "'one'",
            "a version number in quotes, such as '1'",
        ),
        (
            "model.version",
            {"weights": {1: 1}},
            "model.version.weights.1",
            "1",
            "text: put it in quotes",
        ),
        (
            "model.inputs.0.column",
            "near",
            "model.inputs[0]",
            "both",
            "either columns or column",
        ),
        ("model.outputs.0.shape", 3, "model.outputs[0].shape", "3", "a list"),
        ("model.outputs.0.shape", [0.5], "model.outputs[0].shape[0]", "0.5", "an integer"),
        ("postprocess.steps.0.a", "one", "postprocess.steps[0].a", "'one'", "a number"),
        (
            "postprocess.steps.1.labels",
            ["a", "b", "c"],
            "postprocess.steps[1].labels",
            "3 entries",
            "at most 2 entries",
        ),
        ("postprocess.outputs", [], "postprocess.outputs", "no entries", "at least 1 entry"),
        ("deadline.default_ms", -1, "deadline.default_ms", "-1", "a number above 0"),
        (
            "deadline.maximum_ms",
            float("inf"),
            "deadline.maximum_ms",
            "inf",
            "a number of at most 86400000",
        ),
        (
            "budgets.inference.cap_ms",
            float("nan"),
            "budgets.inference.cap_ms",
            "nan",
            "a number of at most 86400000",
        ),
        (
            "deadline.default_ms",
            5000,
            "deadline.default_ms",
            "5000",
            "a default at or below maximum_ms, 1000",
        ),
        (
            "budgets.inference.floor_ms",
            60,
            "budgets.inference.floor_ms",
            "60",
            "a floor at or below cap_ms, 50",
        ),
        ("pipeline", "two words", "pipeline", "'two words'", PATTERN_TEXTS[NAME_PATTERN]),
        (
            "request.fields.9 lives",
            {"type": "string"},
            "request.fields.9 lives",
            "'9 lives'",
            PATTERN_TEXTS[COLUMN_PATTERN],
        ),
    ],
)
def test_wrong_value_is_told_with_what_was_expected(
    tmp_path: Path, path: str, value: Any, where: str, found: str, expected: str
) -> None:
    problem = problem_of(tmp_path, changed(PIPELINE, (path, value)))

    assert (problem.path, problem.found, problem.expected) == (where, found, expected)
    assert problem.line > 0


def test_name_that_yaml_takes_for_a_boolean_needs_quotes(tmp_path: Path) -> None:
    content = changed(PIPELINE)
    content["request"]["fields"][True] = {"type": "string"}

    problem = problem_of(tmp_path, content)

    assert problem.path == "request.fields.True"
    assert (problem.found, problem.expected) == ("true", "text: put it in quotes")


def test_all_problems_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = changed(
        PIPELINE,
        ("deadline.default_ms", -1),
        ("version", 1),
        ("ingest.steps.1.step", "vocabulry"),
        ("model.version", "lastest"),
    )

    problems = problems_of(tmp_path, content)

    assert [problem.path for problem in problems] == [
        "version",
        "ingest.steps[1].step",
        "model.version",
        "deadline.default_ms",
    ]
    assert sorted(problem.line for problem in problems) == [p.line for p in problems]


def test_error_is_one_line_per_problem_that_editors_can_follow(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("version", 1), ("model.version", "lastest"))
    path = write_yaml(tmp_path / "tip.yaml", content)

    with pytest.raises(SpecError) as caught:
        load_pipeline_spec(path)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}:2: version: found 1, expected text: put it in quotes"
    assert lines[1].startswith(f"{path}:")
    assert lines[1].endswith("(did you mean 'latest'?)")


def test_long_values_are_shortened(tmp_path: Path) -> None:
    content = changed(PIPELINE, ("request.fields.zone.minimum", "x" * 10_000))

    assert len(problem_of(tmp_path, content).found) == 80


# --- not YAML ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "found", "expected"),
    [
        (
            "pipeline: [1, 2\nb: 3",
            "line 2, column 2",
            "':'",
            "',' or ']' (while parsing a flow sequence that begins in line 1)",
        ),
        (
            "pipeline: a: b",
            "line 1, column 12",
            "a second ': '",
            "one in a line; put text in quotes",
        ),
        (
            "pipeline:\n\t- 1",
            "line 2, column 1",
            "character '\\t' that cannot start any token",
            "YAML",
        ),
        (
            "pipeline: *x",
            "line 1, column 11",
            "the alias 'x'",
            "the name of an anchor above; put text in quotes",
        ),
        (
            "pipeline: !!python/object:os.system x",
            "line 1, column 11",
            "the tag 'tag:yaml.org,2002:python/object:os.system'",
            "plain YAML, without tags",
        ),
        ("? [a]\n: 1", "line 1, column 3", "a list or a mapping as a name", "text"),
        (
            "version: 2013-99-99",
            "line 1, column 10",
            "'2013-99-99': month must be in 1..12",
            "a valid value, or text in quotes",
        ),
        (
            "pipeline: a\nversion: b\npipeline: c\n",
            "line 3, column 1",
            "the name 'pipeline' again, first in line 1",
            "each name once",
        ),
        (
            "request:\n  fields:\n    a: {type: string, type: bool}\n",
            "line 3, column 23",
            "the name 'type' again, first in line 3",
            "each name once",
        ),
        ("[" * 100_000, "line 1, column 65", "lists or mappings nested too deep", "YAML"),
        ("{a: " * 100_000, "line 1, column 257", "lists or mappings nested too deep", "YAML"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(
    tmp_path: Path, text: str, where: str, found: str, expected: str
) -> None:
    problem = problem_of(tmp_path, text)

    assert (problem.path, problem.found, problem.expected) == (where, found, expected)
    assert problem.line == int(where.split()[1].rstrip(","))


@pytest.mark.parametrize(
    ("data", "found", "expected"),
    [
        (b"", "nothing", "a mapping of names to values"),
        (b"# only a comment\n", "nothing", "a mapping of names to values"),
        (b"- a\n- b\n", "a list", "a mapping of names to values"),
        (b"just text", "'just text'", "a mapping of names to values"),
        (b"a: 1\nb: \xff", "text that is not UTF-8 (invalid start byte)", "UTF-8"),
        (b"a: \x00", "the character 0", "printable text"),
        (b"a: 1\n---\na: 2\n", "another document", "one in a file"),
    ],
)
def test_text_that_is_no_mapping_is_refused(
    tmp_path: Path, data: bytes, found: str, expected: str
) -> None:
    path = tmp_path / "tip.yaml"
    path.write_bytes(data)

    with pytest.raises(SpecError) as caught:
        load_pipeline_spec(path)

    (problem,) = caught.value.problems
    assert (problem.found, problem.expected) == (found, expected)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"found No such file or directory, expected a readable"):
        load_pipeline_spec(tmp_path / "tip.yaml")


def test_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Is a directory"):
        load_pipeline_spec(tmp_path)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = write_yaml(tmp_path / "tip.yaml", "a" * (4 * 1024 * 1024 + 1))

    with pytest.raises(SpecError, match="expected at most 4194304"):
        load_pipeline_spec(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(alphabet="ab: -[]{}\n'\"&*!|>#%@\t", max_size=60))
def test_no_text_at_all_breaks_the_reader(tmp_path: Path, text: bytes | str) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)

    try:
        read_yaml(path)
    except SpecError as error:
        assert error.problems


# --- views ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "where", "found", "expected"),
    [
        (
            "max_age",
            "soon",
            "max_age",
            "'soon'",
            "a duration such as 250ms, 30s, 5m, 24h or 30d",
        ),
        (
            "max_age",
            "9" * 50 + "d",
            "max_age",
            repr("9" * 50 + "d"),
            "a duration of at most 1000000d",
        ),
        ("max_age", 30, "max_age", "30", "a duration such as 250ms, 30s, 5m, 24h or 30d"),
        (
            "keys.0.granularity",
            "1h",
            "keys[0].granularity",
            "a granularity",
            "none, as only keys of type timestamp have one",
        ),
        ("keys", [], "keys", "no entries", "at least 1 entry"),
        (
            "keys",
            [{"name": "zone", "type": "int64"}] * 2,
            "keys[1].name",
            "'zone' again",
            "each key once",
        ),
        ("features.0.default", "much", "features[0].default", "'much'", "a value of type float32"),
        ("features.1.default", 5, "features[1].default", "5", "a value of type string"),
        ("features.1.name", "busy", "features[1].name", "'busy' again", "each feature once"),
        (
            "features.1.name",
            "missing",
            "features[1].name",
            "'missing'",
            "another name: on_missing: flag makes a column of this one",
        ),
        (
            "features.0.type",
            "float",
            "features[0].type",
            "'float'",
            "one of: float32, float64, int64, bool, string, timestamp, category",
        ),
        ("on_missing", "flags", "on_missing", "'flags'", "one of: default, flag, fail"),
    ],
)
def test_wrong_view_is_told_with_what_was_expected(
    tmp_path: Path, path: str, value: Any, where: str, found: str, expected: str
) -> None:
    problem = view_problem_of(tmp_path, changed(VIEWS["place"], (path, value)))

    assert (problem.path, problem.found, problem.expected) == (where, found, expected)


@pytest.mark.parametrize(
    ("path", "slip"),
    [
        ("entity", "entty"),
        ("on_missing", "on_mising"),
        ("features.0.default", "defalt"),
        ("keys.0.type", "typ"),
    ],
)
def test_misspelt_name_in_a_view_has_the_nearest_name(tmp_path: Path, path: str, slip: str) -> None:
    problem = view_problem_of(tmp_path, renamed(VIEWS["place"], path, slip))

    assert problem.found == f"the unknown name {slip!r}"
    assert problem.suggestion == path.rpartition(".")[2]


# --- nearest -------------------------------------------------------------------------------


def test_nearest_name_is_the_likest() -> None:
    assert nearest("colums", ["column", "columns", "name"]) == "columns"
    assert nearest("colums", {"column": 1}) == "column"
    assert nearest("zzz", ["column"]) == ""
    assert nearest(5, ["column"]) == ""


def test_nearest_name_of_a_huge_one_takes_no_time() -> None:
    assert nearest("x" * 10_000_000, ["column"] * 100) == ""
