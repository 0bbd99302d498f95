"""Requests with a list of candidates: features of each, a score for each, in their order."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.client import AsyncClient, Client, Prediction, PredictionError, Tensor
from tailrace.client.json_values import fields_from_json, prediction_to_json
from tests.support.feature_loading import load_file
from tests.support.onnx_models import write_ranking_model, write_sum_model
from tests.support.running_mesh import RunningMesh

FILES_DIR = Path(__file__).parents[1] / "support" / "ranking"
MAX_ITEMS = 100
WEIGHTS = (100.0, 10.0, 1.0, 0.25)
TASTES = {"ann": 3.0, "bob": -2.0}
# Price and rank of what is there; `item-7` and its like are not.
ITEMS = {f"item-{n}": (n / 4, n * n) for n in range(300) if n % 10 != 7}
DEFAULTS = (0.5, 0)
PIPELINES = ("ranking", "ranking-after-ingest")


def write_csv(file: Path, names: list[str], rows: list[tuple[Any, ...]]) -> Path:
    """Writes a table."""
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([names, *rows])
    return file


@pytest.fixture(scope="module", params=["remote", "local"])
def ranking_mesh(
    request: pytest.FixtureRequest,
    redis_server: LocalRedis,
    triton_server: LocalTriton,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningMesh]:
    """A mesh that ranks, its hops services or inside the gateway."""
    folder = tmp_path_factory.mktemp("ranking")
    write_sum_model(folder / "models", "pair", weights=(1.0, 10.0, 100.0))
    write_ranking_model(folder / "models", "ranker", MAX_ITEMS, WEIGHTS)
    settings = {
        "TAILRACE_INFERENCE_BACKEND": "onnxruntime",
        "TAILRACE_MODEL_REPOSITORY": str(folder / "models"),
    }
    users = write_csv(folder / "users.csv", ["user", "taste"], list(TASTES.items()))
    items = write_csv(
        folder / "items.csv",
        ["item", "price", "rank"],
        [(name, *features) for name, features in ITEMS.items()],
    )
    asyncio.run(load_file(users, FILES_DIR / "features" / "user.yaml", redis_server.url))
    asyncio.run(load_file(items, FILES_DIR / "features" / "item.yaml", redis_server.url))
    mesh = RunningMesh(
        redis_server,
        triton_server,
        folder,
        {"inference": settings},
        FILES_DIR,
        placement=request.param,
    )
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.kill()


@pytest.fixture
def client(ranking_mesh: RunningMesh) -> Iterator[Client]:
    """A client of the mesh."""
    with Client(ranking_mesh.target) as client:
        yield client


def expected_scores(user: str, candidates: list[str], boost: float = 0.0) -> Any:
    """What numpy makes of the same features."""
    rows = [
        (TASTES.get(user, 0.0), boost, *ITEMS.get(candidate, DEFAULTS)) for candidate in candidates
    ]
    return np.array(rows, np.float32).reshape(-1, 4) @ np.array(WEIGHTS, np.float32)


def candidates_of(seed: int, count: int) -> list[str]:
    """Some items in any order, one of them twice, some that nobody knows."""
    rng = np.random.default_rng(seed)
    return [f"item-{n}" for n in rng.integers(0, 300, count)]


def values_of(prediction: Prediction, name: str) -> Tensor:
    """A field of the prediction, which has to be a tensor."""
    found = prediction.values[name]
    assert isinstance(found, Tensor)
    return found


def check(prediction: Prediction, user: str, candidates: list[str], boost: float = 0.0) -> None:
    """Fails unless every candidate has its own score and price."""
    scores, prices = values_of(prediction, "score"), values_of(prediction, "price")
    assert scores.shape == prices.shape == (len(candidates),)
    expected = expected_scores(user, candidates, boost)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)
    assert prices.tolist() == [ITEMS.get(candidate, DEFAULTS)[0] for candidate in candidates]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_hundred_candidates_are_scored_in_their_order(client: Client, pipeline: str) -> None:
    candidates = candidates_of(1, MAX_ITEMS)
    missing = sum(candidate not in ITEMS for candidate in candidates)
    assert missing > 0

    prediction = client.predict(
        pipeline, {"user": "ann", "candidates": candidates, "boost": 0.5}, timeout=10
    )

    check(prediction, "ann", candidates, 0.5)
    assert prediction.quality.name == "DEFAULT_FEATURES"
    assert [reason.detail for reason in prediction.quality_reasons] == [
        f"candidate: {missing} of 100 missing"
    ]


@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_lists_of_different_lengths_travel_together(
    ranking_mesh: RunningMesh, pipeline: str
) -> None:
    lengths = [0, 1, 2, 17, 99, 100] * 8
    lists = [candidates_of(seed, length) for seed, length in enumerate(lengths)]
    users = [("ann", "bob", "nobody")[place % 3] for place in range(len(lists))]
    requests = [
        {"user": user, "candidates": candidates}
        for user, candidates in zip(users, lists, strict=True)
    ]

    async with AsyncClient(ranking_mesh.target) as client:
        outcomes = await client.predict_batch(pipeline, requests, timeout=20)

    shared = 0
    for outcome, user, candidates in zip(outcomes, users, lists, strict=True):
        assert isinstance(outcome, Prediction)
        check(outcome, user, candidates)
        shared = max(shared, outcome.ledger.convoy_rows)
    assert shared > 6


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_list_that_is_missing_is_empty(client: Client, pipeline: str) -> None:
    for fields in ({"user": "ann"}, {"user": "ann", "candidates": None},
                   {"user": "ann", "candidates": []}):  # fmt: skip
        prediction = client.predict(pipeline, fields, timeout=10)

        check(prediction, "ann", [])
        assert prediction.quality.name == "LIVE"


def test_defaults_stand_in_for_the_features_of_every_candidate(client: Client) -> None:
    prediction = client.predict(
        "ranking-impatient", {"user": "ann", "candidates": ["item-1"] * 3}, timeout=10
    )

    assert prediction.quality.name == "DEFAULT_FEATURES"
    assert "features failed" in prediction.quality_reasons[0].detail
    assert values_of(prediction, "price").tolist() == [DEFAULTS[0]] * 3
    nobody = expected_scores("nobody", ["item-7"] * 3)
    np.testing.assert_allclose(values_of(prediction, "score").numpy(), nobody, rtol=1e-6)


def test_a_view_is_read_for_two_entities_at_once(client: Client) -> None:
    fields = {"user": "bob", "first": "item-8", "second": "item-4"}

    prediction = client.predict("pair", fields, timeout=10)

    prices = ITEMS["item-8"][0], ITEMS["item-4"][0]
    assert prediction.values["score"] == TASTES["bob"] + 10 * prices[0] + 100 * prices[1]
    assert prediction.quality.name == "LIVE"


def test_ages_are_counted_to_the_instant_asked_for(client: Client) -> None:
    fields = {"user": "bob", "first": "item-8", "second": "item-4"}
    in_two_months = datetime.now(UTC) + timedelta(days=60)

    late, now = client.predict_batch(
        "pair", [{**fields, "when": in_two_months}, fields], timeout=10
    )

    assert isinstance(late, Prediction) and isinstance(now, Prediction)
    assert late.quality.name == "STALE_FEATURES"
    assert [reason.detail for reason in late.quality_reasons] == ["reader: stale"]
    assert (now.quality.name, late.values) == ("LIVE", now.values)


def test_arrays_are_lists_too(client: Client) -> None:
    candidates = candidates_of(2, 5)

    prediction = client.predict(
        "ranking", {"user": "bob", "candidates": np.array(candidates)}, timeout=10
    )

    check(prediction, "bob", candidates)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize(
    ("candidates", "field", "said"),
    [
        (["a"] * 101, "fields.candidates", "found 101 items, expected at most 100"),
        ("item-1", "fields.candidates", "found a string, expected a list of strings"),
        ([1, 2], "fields.candidates[0]", "found int64, expected a list of strings"),
        (["a", "b" * 17], "fields.candidates[1]", "item 1: found too long a value"),
        (np.array([["a"], ["b"]]), "fields.candidates", "found a tensor of 2 dimensions"),
    ],
)
def test_a_list_that_is_not_as_it_should_be_fails_its_row_alone(
    client: Client, pipeline: str, candidates: Any, field: str, said: str
) -> None:
    good = {"user": "ann", "candidates": ["item-1", "item-2"]}

    bad, well = client.predict_batch(
        pipeline, [{"user": "ann", "candidates": candidates}, good], timeout=10
    )

    assert isinstance(bad, PredictionError)
    assert (bad.code.name, bad.reason, bad.field) == ("INVALID_ARGUMENT", "INVALID_FIELD", field)
    assert said in bad.message
    assert isinstance(well, Prediction)
    check(well, "ann", ["item-1", "item-2"])


def test_json_has_lists(client: Client) -> None:
    schema = client.describe_pipeline("ranking").request_fields

    fields = fields_from_json({"user": "ann", "candidates": ["item-1", "item-7"]}, schema)
    document = prediction_to_json(client.predict("ranking", fields, timeout=10))

    assert document["values"]["price"] == [0.25, 0.5]
    with pytest.raises(PredictionError) as refused:
        fields_from_json({"candidates": ["item-1", 2]}, schema)
    assert refused.value.field == "fields.candidates[1]"


def test_open_inference_takes_lists_of_one_length(ranking_mesh: RunningMesh) -> None:
    lists = [candidates_of(seed, 3) for seed in (3, 4)]
    candidates = InferInput("candidates", [2, 3], "BYTES")
    candidates.set_data_from_numpy(np.array(lists, object))
    users = InferInput("user", [2], "BYTES")
    users.set_data_from_numpy(np.array(["ann", "bob"], object))
    with InferenceServerClient(ranking_mesh.target) as triton_client:
        metadata = triton_client.get_model_metadata("ranking", as_json=True)
        answer = triton_client.infer("ranking", [users, candidates])

    shapes = {part["name"]: part["shape"] for part in metadata["inputs"] + metadata["outputs"]}
    assert shapes["candidates"] == shapes["score"] == ["-1", "-1"]
    scores = answer.as_numpy("score")
    assert scores is not None
    for found, user, listed in zip(scores, ("ann", "bob"), lists, strict=True):
        np.testing.assert_allclose(found, expected_scores(user, listed), rtol=1e-6)
