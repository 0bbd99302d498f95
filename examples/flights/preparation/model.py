"""Trains the model and judges it."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import onnx
from numpy.typing import NDArray

from preparation.calibration import Quality, apply_platt, fit_platt, quality
from preparation.data_set import PIPELINE, STATIC_PIPELINE, DataSet
from preparation.network import Weights, make_network, run_network
from preparation.onnx_model import awkward_rows, export_trees, largest_difference
from preparation.progress import Progress
from preparation.trees import STATIC_GROWTH, WINDOWED_GROWTH, probabilities, train_trees
from tailrace.runtime.pipeline.plan import Pipeline

_GROWTH = {PIPELINE: WINDOWED_GROWTH, STATIC_PIPELINE: STATIC_GROWTH}
AUC_FLOORS = {PIPELINE: 0.79, STATIC_PIPELINE: 0.68}
"""What the area under the ROC curve has to reach on September to December, by pipeline."""

EXPORT_TOLERANCE = 1e-5
_AWKWARD_STEP = 4
# Trees trained on another kind of processor differ in the last digits of their sums, and now
# and then in a split; the calibration fitted to them then moves by about this much at most.
CALIBRATION_TOLERANCE = 0.02


class PreparationFailed(Exception):
    """What was made does not hold what is promised of it."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The model and what is known of it.

    Attributes:
        booster: the trees.
        exported: the same as ONNX.
        network: the neural network beside it.
        held_out: float64[held-out flights], the trees' probabilities, not calibrated.
        calibrated: float64[held-out flights], those calibrated as the pipeline does.
        before: quality of the probabilities that are not calibrated.
        after: quality of the calibrated ones.
        waiting: the same, of the flights that had not left when they were due to.
        network_quality: quality of the neural network on the same flights.
        export_difference: largest difference between trees and ONNX, in probability.
        export_rows: on how many rows.
    """

    booster: lgb.Booster
    exported: onnx.ModelProto
    network: Weights
    held_out: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    before: Quality
    after: Quality
    waiting: Quality
    network_quality: Quality
    export_difference: float
    export_rows: int


def train_model(data: DataSet, threads: int, progress: Progress) -> TrainedModel:
    """Returns the model of a pipeline, trained and checked.

    Raises:
        PreparationFailed: it is worse than it has to be, or the pipeline's calibration or the
            exported model do not belong to it.
    """
    rows = data.tree_rows
    name = data.pipeline.name
    progress(f"{name}: training the trees on {int(rows.sum()):,} flights of January to July")
    growth = _GROWTH[name]
    booster = train_trees(data.features[rows], data.late[rows], data.columns, threads, growth)
    progress(f"{name}: checking the calibration on August")
    a, b = check_calibration(data, booster)
    progress(f"{name}: judging the trees on September to December")
    held_out = probabilities(booster, data.features[data.held_out_rows])
    happened = data.late[data.held_out_rows]
    calibrated = apply_platt(held_out, a, b)
    after = quality(calibrated, happened)
    if after.auc < AUC_FLOORS[name]:
        raise PreparationFailed(f"{name}: AUC {after.auc:.4f} is below {AUC_FLOORS[name]}")
    waiting = data.waiting_rows[data.held_out_rows]
    progress(f"{name}: exporting the trees to ONNX and comparing")
    exported, difference, compared = _export(data, booster)
    progress(f"{name}: making the neural network")
    network = make_network(data.features[rows], data.late[rows])
    of_network = run_network(network, data.features[data.held_out_rows])[:, 0]
    return TrainedModel(
        booster=booster,
        exported=exported,
        network=network,
        held_out=held_out,
        calibrated=calibrated,
        before=quality(held_out, happened),
        after=after,
        waiting=quality(calibrated[waiting], happened[waiting]),
        network_quality=quality(of_network.astype(np.float64), happened),
        export_difference=difference,
        export_rows=compared,
    )


def check_calibration(data: DataSet, booster: lgb.Booster) -> tuple[float, float]:
    """Returns the pipeline's a and b, if they do as well as newly fitted ones.

    Raises:
        PreparationFailed: they have gone out of date; says what to write in their place.
    """
    a, b = pipeline_calibration(data.pipeline)
    rows = data.calibration_rows
    probability = probabilities(booster, data.features[rows])
    new_a, new_b = fit_platt(probability, data.late[rows])
    moved = apply_platt(probability, a, b) - apply_platt(probability, new_a, new_b)
    if np.abs(moved).max() > CALIBRATION_TOLERANCE:
        raise PreparationFailed(
            f"{data.pipeline.file.name} calibrates with a: {a}, b: {b}; "
            f"fitted to the trees they are a: {new_a:.4f}, b: {new_b:.4f}"
        )
    return a, b


def pipeline_calibration(pipeline: Pipeline) -> tuple[float, float]:
    """Returns a and b of the pipeline's `platt` step."""
    for step in pipeline.spec.postprocess.steps:
        if step.step == "platt":
            return step.a, step.b
    raise PreparationFailed(f"{pipeline.file} has no platt step")


def _export(data: DataSet, booster: lgb.Booster) -> tuple[onnx.ModelProto, float, int]:
    exported = export_trees(booster)
    held_out = data.features[data.held_out_rows]
    awkward = awkward_rows(held_out[::_AWKWARD_STEP], data.columns)
    rows = np.concatenate([held_out, awkward])
    difference = largest_difference(exported, booster, rows)
    if difference > EXPORT_TOLERANCE:
        raise PreparationFailed(
            f"the exported model differs from the trained one by {difference:.2g}"
        )
    return exported, difference, len(rows)
