"""Small ONNX models, written where the in-process backend looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = (1, 10, 100, 1000)


def write_sum_model(
    repository: Path, name: str, version: int = 1, weights: Sequence[float] = WEIGHTS
) -> None:
    """Writes a model like Triton's `echo_sum`: float32[rows, 4] to a weighted sum [rows, 1]."""
    matrix = numpy_helper.from_array(np.array(weights, np.float32).reshape(-1, 1), "weights")
    multiply = helper.make_node("MatMul", ["features", "weights"], ["score"])
    _write(repository, name, version, [multiply], [matrix], width=len(weights))


def write_ranking_model(
    repository: Path, name: str, items: int, weights: Sequence[float], version: int = 1
) -> None:
    """Writes a model of lists: float32[rows, items, columns] to weighted sums [rows, items, 1]."""
    matrix = numpy_helper.from_array(np.array(weights, np.float32).reshape(-1, 1), "weights")
    multiply = helper.make_node("MatMul", ["features", "weights"], ["score"])
    shape: list[str | int] = ["rows", items, len(weights)]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", items, 1])
    graph = helper.make_graph([multiply], name, [features], [score], [matrix])
    _save(repository, name, version, graph)


def write_heavy_model(repository: Path, name: str, size: int = 1500, layers: int = 12) -> None:
    """Writes a model that takes long over every row: a chain of large matrix products."""
    spread = numpy_helper.from_array(np.full((4, size), 1e-3, np.float32), "spread")
    square = numpy_helper.from_array(np.full((size, size), 1e-3, np.float32), "square")
    gather = numpy_helper.from_array(np.full((size, 1), 1e-3, np.float32), "gather")
    nodes = [helper.make_node("MatMul", ["features", "spread"], ["layer0"])]
    for layer in range(layers):
        nodes.append(helper.make_node("MatMul", [f"layer{layer}", "square"], [f"layer{layer + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"layer{layers}", "gather"], ["score"]))
    _write(repository, name, 1, nodes, [spread, square, gather], width=4)


def write_log_model(repository: Path, name: str) -> None:
    """Writes a model that answers with the logarithm of the row's sum: NaN below 0, -inf at 0."""
    ones = numpy_helper.from_array(np.ones((4, 1), np.float32), "ones")
    nodes = [
        helper.make_node("MatMul", ["features", "ones"], ["sum"]),
        helper.make_node("Log", ["sum"], ["score"]),
    ]
    _write(repository, name, 1, nodes, [ones], width=4)


def write_text_model(repository: Path, name: str) -> None:
    """Writes a model that answers with the text it is given: string[rows] to string[rows]."""
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["rows"])
    said = helper.make_tensor_value_info("said", TensorProto.STRING, ["rows"])
    identity = helper.make_node("Identity", ["text"], ["said"])
    _save(repository, name, 1, helper.make_graph([identity], name, [text], [said]))


def _write(
    repository: Path,
    name: str,
    version: int,
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    width: int,
) -> None:
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", width])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])
    _save(repository, name, version, helper.make_graph(nodes, name, [features], [score], constants))


def _save(repository: Path, name: str, version: int, graph: onnx.GraphProto) -> None:
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    # Aside and renamed, so that a running service never reads half of it.
    onnx.save(model, folder / "model.partial")
    (folder / "model.partial").rename(folder / "model.onnx")
