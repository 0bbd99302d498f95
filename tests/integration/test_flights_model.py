"""The flight example's model, from the data to a real Triton."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray

from preparation.data_set import PIPELINE, PIPELINES, STATIC_PIPELINE
from preparation.feature_matrix import (
    Matrix,
    feature_matrix,
    load_example,
    model_columns,
)
from preparation.held_out import REPLAY_DAYS
from preparation.network import run_network
from preparation.onnx_model import awkward_rows, largest_difference
from preparation.trees import probabilities
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.runtime.pipeline.directory import DirectoryContent
from tailrace.runtime.pipeline.plan import Pipeline
from tests.support.triton_fixtures import StartTriton

# The example is prepared by the first test that needs it.
pytestmark = pytest.mark.timeout(400)

MODEL = "flight_delay"
STATIC_MODEL = "flight_delay_static"
NETWORK = "flight_delay_torch"
VIEWS = ("plane", "route", "airport", "weather")
TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def example() -> DirectoryContent:
    return load_example(PIPELINES)


@pytest.fixture(scope="module")
def pipeline(example: DirectoryContent) -> Pipeline:
    return example.pipelines[PIPELINE]


@pytest.fixture(scope="module")
def held_out(prepared_flights: Path) -> pd.DataFrame:
    return pd.read_parquet(prepared_flights / "held_out.parquet")


@pytest.fixture(scope="module")
def features(prepared_flights: Path, held_out: pd.DataFrame, example: DirectoryContent) -> Matrix:
    return matrix(PIPELINE, prepared_flights, held_out, example)


@pytest.fixture(scope="module")
def static_features(
    prepared_flights: Path, held_out: pd.DataFrame, example: DirectoryContent
) -> Matrix:
    return matrix(STATIC_PIPELINE, prepared_flights, held_out, example)


def matrix(
    pipeline: str, prepared: Path, held_out: pd.DataFrame, example: DirectoryContent
) -> Matrix:
    views, events = (
        {name: pd.read_parquet(prepared / f"{name}.parquet") for name in names}
        for names in (VIEWS, example.events)
    )
    return feature_matrix(example.pipelines[pipeline], held_out, views, example.events, events)


@pytest.fixture(scope="module")
def booster(prepared_flights: Path) -> lgb.Booster:
    return lgb.Booster(model_file=prepared_flights / f"{MODEL}.txt")


@pytest.fixture(scope="module")
def static_booster(prepared_flights: Path) -> lgb.Booster:
    return lgb.Booster(model_file=prepared_flights / f"{STATIC_MODEL}.txt")


@pytest.fixture
def server(start_triton: StartTriton, prepared_flights: Path) -> LocalTriton:
    return start_triton(
        model_repository=prepared_flights / "models",
        models=[MODEL, STATIC_MODEL],
        model_config_name="local",
    )


def infer(server: LocalTriton, model: str, features: Matrix) -> NDArray[np.float32]:
    with triton.InferenceServerClient(server.grpc_target) as client:
        given = triton.InferInput("features", features.shape, "FP32")
        given.set_data_from_numpy(features)
        answer = client.infer(model, [given], client_timeout=TIMEOUT_S)
        probability: NDArray[np.float32] = answer.as_numpy("probability")
        return probability


def in_parts(server: LocalTriton, model: str, features: Matrix) -> NDArray[np.float32]:
    parts = np.array_split(features, 10)
    return np.concatenate([infer(server, model, part) for part in parts])


@pytest.mark.parametrize(("pipeline", "auc"), [(PIPELINE, 0.79), (STATIC_PIPELINE, 0.68)])
def test_models_are_good_enough(prepared_flights: Path, pipeline: str, auc: float) -> None:
    facts: dict[str, Any] = json.loads((prepared_flights / "facts.json").read_text())[pipeline]
    assert facts["held_out"]["rows"] > 100_000
    assert facts["held_out"]["auc"] >= auc
    assert facts["held_out"]["calibration_error"] < 0.02
    assert facts["held_out"]["brier"] < facts["held_out_uncalibrated"]["brier"] + 0.001
    assert facts["export_difference"] <= 1e-5


def test_windowed_features_gain_on_flights_of_every_kind(
    prepared_flights: Path,
) -> None:
    facts: dict[str, Any] = json.loads((prepared_flights / "facts.json").read_text())
    for flights in ("held_out", "held_out_waiting", "replayed_uncalibrated"):
        gained = facts[PIPELINE][flights]["auc"] - facts[STATIC_PIPELINE][flights]["auc"]
        assert gained > 0.02, flights


def test_exported_model_is_the_trained_one(
    prepared_flights: Path, features: Matrix, booster: lgb.Booster, pipeline: Pipeline
) -> None:
    exported = prepared_flights / "models" / MODEL / "1" / "model.onnx"
    assert len(features) == 10_000
    assert largest_difference(exported, booster, features) <= 1e-5
    rows = awkward_rows(features, model_columns(pipeline))
    assert largest_difference(exported, booster, rows) <= 1e-5


def test_held_out_sample_says_what_the_trained_models_say(
    held_out: pd.DataFrame,
    features: Matrix,
    booster: lgb.Booster,
    static_features: Matrix,
    static_booster: lgb.Booster,
) -> None:
    expected = held_out["expected_probability"].to_numpy()
    np.testing.assert_array_equal(probabilities(booster, features), expected)
    expected = held_out["expected_probability_static"].to_numpy()
    np.testing.assert_array_equal(probabilities(static_booster, static_features), expected)


def test_replayed_flights_are_all_of_two_days_after_august(prepared_flights: Path) -> None:
    replayed = pd.read_parquet(prepared_flights / "replay.parquet")
    departures = replayed["scheduled_departure"]
    assert departures.is_monotonic_increasing
    local = departures.dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d")
    assert local.unique().tolist() == list(REPLAY_DAYS)
    assert len(replayed) > 1800


def test_held_out_sample_is_in_order_of_time_and_after_august(held_out: pd.DataFrame) -> None:
    departures = held_out["scheduled_departure"]
    assert departures.is_monotonic_increasing
    assert departures.iloc[0] >= pd.Timestamp("2013-09-01", tz="America/New_York")


def test_triton_answers_as_the_trained_models(
    server: LocalTriton, held_out: pd.DataFrame, features: Matrix, static_features: Matrix
) -> None:
    probability = in_parts(server, MODEL, features)
    assert probability.shape == (10_000, 1)
    difference = np.abs(probability[:, 0] - held_out["expected_probability"].to_numpy())
    assert difference.max() <= 1e-5
    static = in_parts(server, STATIC_MODEL, static_features)
    difference = np.abs(static[:, 0] - held_out["expected_probability_static"].to_numpy())
    assert difference.max() <= 1e-5


def test_requests_that_triton_batches_get_their_own_rows_back(
    server: LocalTriton, held_out: pd.DataFrame, features: Matrix
) -> None:
    sizes = [1 + place % 7 for place in range(400)]
    ends = np.cumsum(sizes)
    with ThreadPoolExecutor(32) as pool:
        parts = np.split(features[: ends[-1]], ends[:-1])
        answers = list(pool.map(lambda part: infer(server, MODEL, part), parts))
    assert [len(answer) for answer in answers] == sizes
    expected = held_out["expected_probability"].to_numpy()[: ends[-1]]
    assert np.abs(np.concatenate(answers)[:, 0] - expected).max() <= 1e-5
    with triton.InferenceServerClient(server.grpc_target) as client:
        statistics = client.get_inference_statistics(MODEL).model_stats[0]
    assert statistics.execution_count < len(sizes), "no two requests shared an execution"


def test_model_sets_the_bounds_of_its_queue(server: LocalTriton, pipeline: Pipeline) -> None:
    with triton.InferenceServerClient(server.grpc_target) as client:
        config = client.get_model_config(MODEL, as_json=True)["config"]
    policy = config["dynamic_batching"]["default_queue_policy"]
    assert policy["allow_timeout_override"] is True
    assert policy["max_queue_size"] > 0
    assert int(policy["default_timeout_microseconds"]) > 0
    assert policy.get("timeout_action", "REJECT") == "REJECT"
    assert config["input"][0]["dims"] == [str(len(model_columns(pipeline)))]


def torch_with_gpu() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `gpu`)")
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that PyTorch can use")


def test_network_on_the_cpu_answers_as_its_weights(
    start_triton: StartTriton, prepared_flights: Path, features: Matrix
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (extra `gpu`)")
    models = prepared_flights / "models"
    server = start_triton(model_repository=models, models=[NETWORK], model_config_name="local")
    with np.load(models / NETWORK / "1" / "weights.npz") as weights:
        expected = run_network(dict(weights), features)
    assert np.abs(in_parts(server, NETWORK, features) - expected).max() <= 1e-4


def test_network_on_the_gpu_answers_as_on_the_cpu(
    start_triton: StartTriton, prepared_flights: Path, features: Matrix
) -> None:
    torch_with_gpu()
    answers = []
    for config_name, gpu in (("local", False), ("gpu", True)):
        server = start_triton(
            model_repository=prepared_flights / "models",
            models=[NETWORK],
            model_config_name=config_name,
            gpu=gpu,
        )
        answers.append(in_parts(server, NETWORK, features))
        server.stop()
    on_cpu, on_gpu = answers
    assert np.isfinite(on_gpu).all()
    assert np.abs(on_gpu - on_cpu).max() <= 1e-4
