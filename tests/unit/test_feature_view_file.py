"""View files with every type of feature: what is accepted, and what is refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from tailrace.inference.backend import ModelMetadata, TensorInfo
from tailrace.inference.compile import compile_for_inference
from tailrace.postprocess.compile import compile_postprocess
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.description import describe_pipeline
from tailrace.runtime.pipeline.directory import load_directory, load_views
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import SpecError
from tailrace.runtime.pipeline.view_plan import ViewPlan

HEAD = """
view: item
entity: item
keys: [{name: id}]
"""
FEATURES = """
features:
  - {name: colour, type: category, values: [red, green], default: green}
  - {name: seen, type: timestamp, default: 2013-01-01T07:00:00-05:00}
  - {name: vector, type: float32, length: 3, default: .nan}
  - {name: flags, type: bool, length: 2, default: true}
  - {name: ids, type: int64, length: 2}
  - {name: one, type: float64, length: 1}
  - {name: price, type: float64}
"""


def read(folder: Path, text: str) -> FeatureView:
    """Returns a view as a service reads it; raises what keeps it from being served."""
    (folder / "item.yaml").write_text(HEAD + text)
    found = load_views(folder)
    for error in found.errors.values():
        raise error
    return found.views["item"]


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as refused:
        read(folder, text)
    return str(refused.value)


def test_every_type_has_its_column_shape_and_default(tmp_path: Path) -> None:
    features = {each.name: each for each in read(tmp_path, FEATURES).features}
    assert {name: (each.dtype, each.row_shape) for name, each in features.items()} == {
        "colour": (DType.INT32, ()),
        "seen": (DType.TIMESTAMP, ()),
        "vector": (DType.FLOAT32, (3,)),
        "flags": (DType.BOOL, (2,)),
        "ids": (DType.INT64, (2,)),
        "one": (DType.FLOAT64, (1,)),
        "price": (DType.FLOAT64, ()),
    }
    assert features["colour"].default_value == 1
    assert features["seen"].default_value == 1_357_041_600_000_000
    assert math.isnan(float(features["vector"].default_value))
    assert features["flags"].default_value is True
    assert features["ids"].default_value == 0


@pytest.mark.parametrize(
    ("feature", "problem"),
    [
        ("{type: category}", "features[0].values: found nothing, expected values for a category"),
        ("{type: category, values: [a, a]}", "features[0].values: found a value again"),
        ("{type: category, values: []}", "features[0].values"),
        ("{type: category, values: [a], default: b}", "default: found 'b', expected one of its"),
        ("{type: category, values: [a], default: 0}", "default: found 0, expected a value of"),
        ("{type: category, values: [a], length: 2}", "length: found a vector of type category"),
        ("{type: float64, values: [a]}", "features[0].values: found a list of values"),
        ("{type: string, length: 2}", "length: found a vector of type string"),
        ("{type: timestamp, length: 2}", "length: found a vector of type timestamp"),
        ("{type: float32, length: 0}", "features[0].length: found 0"),
        ("{type: float32, length: 65537}", "features[0].length: found 65537"),
        ("{type: float32, length: 3, default: [1, 2, 3]}", "features[0].default"),
        ("{type: timestamp, default: 2013-01-01T05:00:00}", "expected an instant with its offset"),
        ("{type: timestamp, default: 5}", "default: found 5, expected a value of type timestamp"),
        ("{type: timestamp, default: now}", "expected a value of type timestamp"),
        ("{type: int64, default: 9223372036854775808}", "expected a value that int64 can hold"),
        ("{type: float32, default: 1.0e+39}", "expected a value that float32 can hold"),
        ("{type: float64, default: 1" + "0" * 400 + "}", "expected a value that float64 can hold"),
        ("{type: int64, default: true}", "features[0].default"),
        ("{type: vector}", "features[0].type: found 'vector'"),
    ],
)
def test_a_feature_that_cannot_be_is_refused_by_path(
    tmp_path: Path, feature: str, problem: str
) -> None:
    features = f"features:\n  - {{name: f, {feature[1:]}\n"
    assert problem in refusal(tmp_path, features)


@pytest.mark.parametrize("default", [-(2**63), 2**63 - 1])
def test_a_default_may_be_any_integer_that_fits(tmp_path: Path, default: int) -> None:
    view = read(tmp_path, f"features: [{{name: f, type: int64, default: {default}}}]")
    assert view.features[0].default_value == default


@pytest.mark.parametrize("default", [".inf", "-.inf", ".nan"])
def test_a_default_of_a_float_may_be_infinite_or_nan(tmp_path: Path, default: str) -> None:
    view = read(tmp_path, f"features: [{{name: f, type: float32, default: {default}}}]")
    assert not math.isfinite(float(view.features[0].default_value))


def test_a_ttl_below_the_max_age_is_refused(tmp_path: Path) -> None:
    assert "ttl: found 1h, expected at least max_age, 2h" in refusal(
        tmp_path, FEATURES + "max_age: 2h\nttl: 1h\n"
    )


def test_vectors_that_make_rows_too_large_are_refused(tmp_path: Path) -> None:
    listed = "".join(
        f"\n  - {{name: v{place}, type: float64, length: 40000}}" for place in range(2)
    )
    assert "vectors of 640000 bytes together, expected at most 524288 bytes a row" in refusal(
        tmp_path, f"features:{listed}\n"
    )


# -- what else reads the shapes -------------------------------------------------------------


def pipeline_of(
    folder: Path, inputs: list[dict[str, object]], output: str = "score", alias: str = "item"
) -> Pipeline:
    features, pipelines = folder / "features", folder / "pipelines"
    features.mkdir()
    pipelines.mkdir()
    (features / "item.yaml").write_text(HEAD + FEATURES)
    content = {
        "pipeline": "p",
        "version": "1",
        "request": {"fields": {"id": {"type": "string"}}},
        "features": {"views": [{"view": "item", "as": alias, "keys": {"id": "request.id"}}]},
        "model": {
            "name": "m",
            "inputs": [{"dtype": "float32", "allow_nan": True, **each} for each in inputs],
            "outputs": [{"name": "score", "dtype": "float32", "shape": [1]}],
        },
        "postprocess": {"outputs": [{"name": "out", "column": output}]},
    }
    (pipelines / "p.yaml").write_text(yaml.safe_dump(content))
    found = load_directory(pipelines)
    for error in found.errors.values():
        raise error
    return found.pipelines["p"]


def test_a_vector_may_be_an_input_of_its_own(tmp_path: Path) -> None:
    plan = compile_for_inference(pipeline_of(tmp_path, [{"name": "x", "column": "item.vector"}]))
    score = {"score": TensorInfo("score", DType.FLOAT32, "FP32", (-1, 1))}
    for length, difference in ((3, ""), (4, "[-1, 4] in the model, [-1, 3] in the pipeline")):
        x = {"x": TensorInfo("x", DType.FLOAT32, "FP32", (-1, length))}
        mismatch = plan.mismatch(ModelMetadata("m", "1", x, score))
        assert difference in mismatch
        assert bool(mismatch) == bool(difference)


def test_a_vector_may_not_be_one_of_many_columns(tmp_path: Path) -> None:
    inputs: list[dict[str, object]] = [{"name": "x", "columns": ["item.price", "item.vector"]}]
    with pytest.raises(SpecError, match=r"'item\.vector', which holds tensors of shape \[3\]"):
        compile_for_inference(pipeline_of(tmp_path, inputs))


def test_a_vector_may_be_a_field_of_the_prediction(tmp_path: Path) -> None:
    inputs: list[dict[str, object]] = [{"name": "x", "columns": ["item.price"]}]
    pipeline = pipeline_of(tmp_path, inputs, "item.vector")
    assert [output.row_shape for output in pipeline.outputs] == [(3,)]
    assert compile_postprocess(pipeline).sources[0].shape == (3,)


def test_the_description_of_a_pipeline_tells_shapes_and_names(tmp_path: Path) -> None:
    inputs: list[dict[str, object]] = [{"name": "x", "columns": ["thing.price"]}]
    (view,) = describe_pipeline(pipeline_of(tmp_path, inputs, alias="thing")).views
    assert (view.name, view.alias, view.kind) == ("item", "thing", "static")
    assert {column.name: tuple(column.shape) for column in view.columns} == {
        "thing.colour": (),
        "thing.seen": (),
        "thing.vector": (3,),
        "thing.flags": (2,),
        "thing.ids": (2,),
        "thing.one": (1,),
        "thing.price": (),
    }


def test_columns_of_lists_have_the_elements_first(tmp_path: Path) -> None:
    view = read(tmp_path, FEATURES + "on_missing: flag\n")
    plan = ViewPlan(view, (), "item", elements=5)
    shapes = {column.name: column.row_shape for column in plan.columns()}
    assert shapes["item.price"] == (5,)
    assert shapes["item.vector"] == (5, 3)
    assert shapes["item.missing"] == (5,)
