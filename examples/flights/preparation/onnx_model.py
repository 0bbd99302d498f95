"""The model as ONNX, and the proof that it is the one that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from preparation.feature_matrix import Matrix
from preparation.trees import probabilities

INPUT = "features"
OUTPUT = "probability"
_BOTH_CLASSES = "probabilities"


def export_trees(booster: lgb.Booster) -> onnx.ModelProto:
    """Returns the trees as ONNX: `features` float32[N, F] to `probability` float32[N, 1].

    The converter's graph gives a label and the probabilities of both classes; here only the
    probability of being late is kept, so that the model looks the same from every server.
    """
    model: onnx.ModelProto = convert_lightgbm(
        snap_thresholds(booster),
        initial_types=[(INPUT, FloatTensorType([None, booster.num_feature()]))],
        zipmap=False,
    )
    # The converter makes up a new name each time.
    model.graph.name = "flights"
    _keep_one_class(model.graph)
    onnx.checker.check_model(model)
    return model


def snap_thresholds(booster: lgb.Booster) -> lgb.Booster:
    """Returns the same trees with every threshold rounded down to a float32.

    LightGBM compares in float64, ONNX in float32, and the converter rounds thresholds to the
    nearest float32. Where that is up, onto a value that occurs, the row takes the other branch
    (seen: a temperature of 57.56, and a probability off by 0.002). A float32 is at most a
    float64 threshold exactly if it is at most that threshold rounded down, so for float32
    features these trees are the ones that were trained, and they survive the conversion.
    """
    lines = booster.model_to_string().splitlines()
    for place, line in enumerate(lines):
        if line.startswith("threshold="):
            exact = np.array(line.removeprefix("threshold=").split(), dtype=np.float64)
            lines[place] = "threshold=" + " ".join(map(repr, round_down(exact).tolist()))
    # Sizes in bytes, which are wrong now; LightGBM then finds the trees by their headings.
    text = "\n".join(line for line in lines if not line.startswith("tree_sizes="))
    return lgb.Booster(model_str=text + "\n")


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the largest float32 that is at most each value, float32[values]."""
    limit = np.finfo(np.float32).max
    nearest = np.clip(values, -limit, limit).astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, -limit), nearest)


def largest_difference(
    model: onnx.ModelProto | Path, booster: lgb.Booster, features: Matrix
) -> float:
    """Returns the largest difference in probability between the two over these rows."""
    exported = run_onnx(model, features)[:, 0].astype(np.float64)
    trained = probabilities(booster, features)
    return float(np.abs(exported - trained).max())


def run_onnx(model: onnx.ModelProto | Path, features: Matrix) -> NDArray[np.float32]:
    """Returns the exported model's probabilities, float32[N, 1], from ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    (probability,) = session.run([OUTPUT], {INPUT: features})
    return np.asarray(probability)


def awkward_rows(features: Matrix, columns: list[str]) -> Matrix:
    """Returns the rows with NaN and unknown categories strewn in.

    In turn a row stays as it is, has one column NaN (each column gets its turn), has a carrier
    and an origin that are not in the vocabulary, has no features from views, is all NaN.
    """
    awkward = features.copy()
    kind = np.arange(len(awkward)) % 5
    rows = np.flatnonzero(kind == 1)
    awkward[rows, np.arange(len(rows)) % len(columns)] = np.nan
    categories = [columns.index("carrier_id"), columns.index("origin_id")]
    awkward[np.flatnonzero(kind == 2)[:, np.newaxis], categories] = -1.0
    from_views = [place for place, name in enumerate(columns) if "." in name]
    awkward[np.flatnonzero(kind == 3)[:, np.newaxis], from_views] = np.nan
    awkward[kind == 4] = np.nan
    return awkward


def _keep_one_class(graph: Any) -> None:
    # Gather is written the same way in every version of the operator set.
    late = helper.make_tensor("late", TensorProto.INT64, [1], [1])
    graph.initializer.append(late)
    graph.node.append(helper.make_node("Gather", [_BOTH_CLASSES, late.name], [OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    _drop_unused_nodes(graph)


def _drop_unused_nodes(graph: Any) -> None:
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
