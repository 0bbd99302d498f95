"""The flight example's trees, their export and their figures."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import roc_auc_score

from preparation.calibration import apply_platt, fit_platt, quality
from preparation.feature_matrix import Matrix
from preparation.network import make_network, run_network
from preparation.onnx_model import export_trees, largest_difference, round_down, run_onnx
from preparation.trees import blanked_copies, probabilities, train_trees

COLUMNS = ["carrier_id", "origin_id", "plane.year", "weather.temperature"]


def sample(rows: int = 4000) -> tuple[Matrix, NDArray[np.bool_]]:
    generator = np.random.default_rng(1)
    features = generator.standard_normal((rows, len(COLUMNS)), dtype=np.float32)
    late = features.sum(axis=1) + generator.standard_normal(rows) > 1
    return features, late


def neighbours() -> tuple[Matrix, lgb.Booster]:
    """Two adjacent float32 whose middle rounds up to the greater, and a tree that parts them."""
    low = np.float32(57.559998)
    high = np.nextafter(low, np.float32(100))
    if np.float32((float(low) + float(high)) / 2) == low:
        low, high = high, np.nextafter(high, np.float32(100))
    features = np.array([[low], [high]] * 50, dtype=np.float32)
    data = lgb.Dataset(features, features[:, 0] == high)
    parameters = {"min_data_in_leaf": 1, "min_data_in_bin": 1, "num_threads": 1, "verbose": -1}
    return features, lgb.train({"objective": "binary", **parameters}, data, 1)


def test_round_down_gives_the_greatest_float32_at_or_below() -> None:
    values = np.array([0.1, -0.1, 1.5, 57.56, -1e-50])
    rounded = round_down(values)
    assert rounded.dtype == np.float32
    assert (rounded <= values).all()
    assert (np.nextafter(rounded, np.float32(np.inf)) > values).all()
    assert rounded[2] == 1.5
    assert round_down(np.array([1e308])) == np.finfo(np.float32).max


def test_plain_conversion_takes_neighbours_for_equal() -> None:
    features, booster = neighbours()
    model = convert_lightgbm(
        booster, initial_types=[("features", FloatTensorType([None, 1]))], zipmap=False
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (converted,) = session.run(["probabilities"], {"features": features})
    assert converted[0, 1] == converted[1, 1], "if they differ, snap_thresholds is not needed"


def test_export_tells_neighbours_apart() -> None:
    features, booster = neighbours()
    assert largest_difference(export_trees(booster), booster, features) < 1e-6


def test_export_gives_the_probability_of_being_late_only() -> None:
    features, late = sample()
    model = export_trees(train_trees(features, late, COLUMNS, threads=1))
    assert [output.name for output in model.graph.output] == ["probability"]
    assert run_onnx(model, features).shape == (len(features), 1)
    assert roc_auc_score(late, run_onnx(model, features)[:, 0]) > 0.9


def test_same_rows_give_the_same_trees_on_any_number_of_threads() -> None:
    features, late = sample()
    one, two = (train_trees(features, late, COLUMNS, threads) for threads in (1, 2))
    assert (probabilities(one, features) == probabilities(two, features)).all()


def test_every_column_of_the_exported_trees_may_be_nan() -> None:
    features, late = sample()
    booster = train_trees(features, late, COLUMNS, threads=1)
    blank = np.repeat(features[:1], len(COLUMNS) + 1, axis=0)
    blank[np.arange(len(COLUMNS)), np.arange(len(COLUMNS))] = np.nan
    blank[-1] = np.nan
    assert largest_difference(export_trees(booster), booster, blank) < 1e-6


def test_blanked_copies_lose_whole_views() -> None:
    features, _ = sample()
    columns = ["carrier_id", "plane.year", "plane.seats", "weather.temperature"]
    copies, sources = blanked_copies(features, columns)
    assert len(copies) == len(sources) == 200
    kept = ~np.isnan(copies)
    assert (copies[kept] == features[sources][kept]).all()
    both = np.isnan(copies[:, 1]) & np.isnan(copies[:, 2])
    assert 0.4 < both.mean() < 0.65


def test_auc_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    probability = generator.random(1000).round(2)
    happened = generator.random(1000) < probability
    assert quality(probability, happened).auc == pytest.approx(roc_auc_score(happened, probability))


def test_platt_mends_what_it_is_meant_to() -> None:
    generator = np.random.default_rng(3)
    true = generator.uniform(0.05, 0.95, 200_000)
    happened = generator.random(len(true)) < true
    distorted = apply_platt(true, 2.0, -1.0)
    a, b = fit_platt(distorted, happened)
    assert (a, b) == pytest.approx((0.5, 0.5), abs=0.02)
    before, after = quality(distorted, happened), quality(apply_platt(distorted, a, b), happened)
    assert before.calibration_error > 0.1
    assert after.calibration_error < 0.01


def test_network_is_finite_where_features_are_missing() -> None:
    features, late = sample()
    weights = make_network(features, late)
    features[::2, 1] = np.nan
    features[0] = np.nan
    probability = run_network(weights, features)
    assert probability.shape == (len(features), 1)
    assert probability.dtype == np.float32
    assert np.isfinite(probability).all()
    assert roc_auc_score(late, probability[:, 0]) > 0.8
