"""Which version answers which row."""

from __future__ import annotations

import numpy as np
import pytest

from tailrace.inference.versions import LATEST, choose_versions
from tailrace.runtime.logs import sampled
from tailrace.runtime.pipeline.model_section import ModelSection


def section(version: object, name: str = "m") -> ModelSection:
    return ModelSection.model_validate(
        {
            "name": name,
            "version": version,
            "inputs": [{"name": "x", "dtype": "float32", "columns": ["a"]}],
            "outputs": [{"name": "y", "dtype": "float32"}],
        }
    )


def ids(count: int) -> list[str]:
    return [f"id-{place}" for place in range(count)]


@pytest.mark.parametrize(
    "version, expected",
    [("latest", LATEST), ("3", "3"), ({"weights": {"1": 0, "2": 5}}, "2")],
)
def test_one_version_answers_all(version: object, expected: str) -> None:
    choice = choose_versions(section(version))
    assert choice.versions == (expected,)
    assert choice.assign(ids(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("first", [1, 10, 50, 99])
def test_shares_are_near_the_weights(first: int) -> None:
    choice = choose_versions(section({"weights": {"1": first, "2": 100 - first}}))
    share = (choice.assign(ids(20_000)) == 0).mean()
    assert share == pytest.approx(first / 100, abs=0.011)


def test_the_same_request_always_gets_the_same_version() -> None:
    choice = choose_versions(section({"weights": {"1": 50, "2": 50}}))
    assigned = choice.assign(ids(100))
    order = np.random.default_rng(1).permutation(100)
    again = choice.assign([ids(100)[place] for place in order])
    assert again.tolist() == assigned[order].tolist()


def test_a_growing_weight_only_moves_requests_its_way() -> None:
    small = choose_versions(section({"weights": {"1": 90, "2": 10}})).assign(ids(2000))
    large = choose_versions(section({"weights": {"1": 60, "2": 40}})).assign(ids(2000))
    assert (large[small == 1] == 1).all()


def test_models_split_independently_of_each_other_and_of_the_logs_sample() -> None:
    weights = {"weights": {"1": 50, "2": 50}}
    one = choose_versions(section(weights, "one")).assign(ids(10_000))
    other = choose_versions(section(weights, "other")).assign(ids(10_000))
    assert (one == other).mean() == pytest.approx(0.5, abs=0.03)
    logged = np.array([sampled(request_id, 0.1) for request_id in ids(10_000)])
    assert (one[logged] == 0).mean() == pytest.approx(0.5, abs=0.06)
