"""The flight example's pipeline, its steps and the folder that a preparation makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preparation.data_set import PIPELINE, PIPELINES, STATIC_PIPELINE
from preparation.feature_matrix import load_example, model_columns
from preparation.lookup import look_up
from preparation.model import pipeline_calibration
from preparation.network import make_network
from preparation.onnx_model import export_trees
from preparation.output_folder import FACTS_FILE, output_folder
from preparation.trees import train_trees
from preparation.triton_repository import add_models
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.functions import resolve_function
from tailrace.runtime.pipeline.load import SpecError
from tailrace.runtime.pipeline.plan import Pipeline

NAN = float("nan")
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_example(PIPELINES).pipelines[PIPELINE]


def test_features_can_be_looked_up_beside_ingest(pipeline: Pipeline) -> None:
    assert pipeline.features_beside_ingest


def test_answer_is_a_probability_and_a_label(pipeline: Pipeline) -> None:
    fields = {field.name: (field.dtype, field.row_shape) for field in pipeline.outputs}
    assert fields == {"probability": (DType.FLOAT32, ()), "late": (DType.STRING, ())}


def test_block_minutes_of_a_wrong_schedule_are_nan(pipeline: Pipeline) -> None:
    function = resolve_function("flight_steps:block_minutes", pipeline.file, "ingest.steps[4]")
    departure = np.array([0, 60_000_000], dtype=np.int64)
    arrival = np.array([90_000_000, 0], dtype=np.int64)
    minutes = function(scheduled_departure=departure, scheduled_arrival=arrival)
    assert minutes.dtype == np.float32
    np.testing.assert_array_equal(minutes, [1.5, NAN])


def test_lookup_floors_instants_and_fills_in_defaults(pipeline: Pipeline) -> None:
    plan = next(plan for plan in pipeline.views if plan.view.view == "weather")
    names = [feature.name for feature in plan.view.features]
    hours = pd.to_datetime([HOUR_US], unit="us", utc=True).as_unit("us")
    table = pd.DataFrame({"origin": ["JFK"], "hour": hours} | dict.fromkeys(names, 7.0))
    instants = np.array([HOUR_US, 2 * HOUR_US - 1, 2 * HOUR_US, HOUR_US])
    origins = np.array(["JFK", "JFK", "JFK", "LGA"], dtype=object)
    found = look_up(plan, [origins, instants], table)
    np.testing.assert_array_equal(found["weather.temperature"], [7, 7, NAN, NAN])
    assert "weather.missing" not in found


def test_lookup_flags_a_plane_that_is_not_registered(pipeline: Pipeline) -> None:
    plan = next(plan for plan in pipeline.views if plan.view.view == "plane")
    table = pd.DataFrame({"tailnum": ["N1"], "year": [1999.0], "seats": [NAN], "engines": [2.0]})
    found = look_up(plan, [np.array(["N1", ""], dtype=object)], table)
    np.testing.assert_array_equal(found["plane.year"], [1999, NAN])
    np.testing.assert_array_equal(found["plane.missing"], [False, True])


def test_static_pipeline_is_the_other_one_without_windowed_views(pipeline: Pipeline) -> None:
    static = load_example(PIPELINES).pipelines[STATIC_PIPELINE]
    of_windows = {plan.name for plan in pipeline.views if plan.view.kind == "windowed"}
    assert len(of_windows) == 6
    columns = model_columns(pipeline)
    expected = [name for name in columns if name.partition(".")[0] not in of_windows]
    assert model_columns(static) == expected
    assert (len(columns), len(expected)) == (44, 29)
    assert static.spec.request == pipeline.spec.request
    assert static.spec.ingest == pipeline.spec.ingest


def test_windowed_views_are_read_for_the_scheduled_departure(pipeline: Pipeline) -> None:
    for plan in pipeline.views:
        if plan.view.kind == "windowed":
            assert plan.instant is not None
            assert (plan.instant.origin, plan.instant.name) == ("request", "scheduled_departure")
        else:
            assert plan.instant is None


def test_event_types_that_do_not_load_are_told(tmp_path: Path) -> None:
    for name in ("pipelines", "features", "events"):
        shutil.copytree(PIPELINES.parent / name, tmp_path / name)
    (tmp_path / "events" / "departure.yaml").write_text("event: departure")
    with pytest.raises(SpecError, match="departure.yaml"):
        load_example(tmp_path / "pipelines")


def test_calibration_is_read_from_the_pipeline_file(pipeline: Pipeline) -> None:
    a, b = pipeline_calibration(pipeline)
    assert 0.5 < a < 1.5
    assert -1 < b < 1


def test_repository_has_trees_and_network_with_their_number_of_features(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    features = generator.standard_normal((500, 2), dtype=np.float32)
    late = features[:, 0] > generator.standard_normal(500)
    model = export_trees(train_trees(features, late, ["a", "b"], threads=1))
    network = make_network(features, late)
    add_models(tmp_path, "one", model, network, feature_count=2)
    add_models(tmp_path, "other", model, network, feature_count=3)
    assert (tmp_path / "one" / "1" / "model.onnx").is_file()
    assert (tmp_path / "other_torch" / "1" / "weights.npz").is_file()
    for name, config, count in [
        ("one", "local", 2), ("one", "ngc", 2), ("one_torch", "local", 2), ("one_torch", "gpu", 2),
        ("other", "local", 3), ("other_torch", "gpu", 3),
    ]:  # fmt: skip
        text = (tmp_path / name / "configs" / f"{config}.pbtxt").read_text()
        assert f'name: "{name}"' in text
        assert f"dims: [ {count} ]" in text
        assert "$" not in text


def test_output_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with output_folder(out) as folder:
        (folder / FACTS_FILE).write_text("{}")
        assert not out.exists()
    assert [file.name for file in out.iterdir()] == [FACTS_FILE]


def test_output_folder_keeps_the_earlier_one_on_failure(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out) as folder:
        (folder / FACTS_FILE).write_text("earlier")
    with pytest.raises(RuntimeError), output_folder(out) as folder:
        (folder / FACTS_FILE).write_text("later")
        raise RuntimeError
    assert (out / FACTS_FILE).read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [out]


def test_output_folder_leaves_a_strange_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="left alone"), output_folder(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").exists()
