"""The model repository for Triton."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import onnx

from preparation.network import Weights

_TEMPLATES = Path(__file__).parent.parent / "triton"
_INPUT_SIZE = re.compile(r"^input .* dims: \[ *(\d+) *\]", re.MULTILINE)


def write_repository(
    folder: Path, trees: onnx.ModelProto, network: Weights, feature_count: int
) -> None:
    """Writes the models with their configurations, one of which Triton is told to use.

    `--model-config-name=NAME` makes Triton read `configs/NAME.pbtxt` of each model.

    Args:
        folder: the repository to make.
        trees: for the model `flight_delay`.
        network: for the model `flight_delay_torch`.
        feature_count: how many features the pipeline gives the models.

    Raises:
        ValueError: a configuration says another number of features.
    """
    for config in sorted(_TEMPLATES.glob("*/configs/*.pbtxt")):
        _check_size(config, feature_count)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_TEMPLATES, folder, ignore=ignored)
    onnx.save_model(trees, folder / "flight_delay" / "1" / "model.onnx")
    np.savez(folder / "flight_delay_torch" / "1" / "weights.npz", **network)


def _check_size(config: Path, feature_count: int) -> None:
    sizes = _INPUT_SIZE.findall(config.read_text())
    if sizes != [str(feature_count)]:
        raise ValueError(f"{config} says input dims {sizes}, the pipeline has {feature_count}")
