"""The model repository for Triton."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

import numpy as np
import onnx

from preparation.network import Weights

NETWORK_SUFFIX = "_torch"
"""What the name of a neural network ends with; the rest is the name of the trees beside it."""

_TEMPLATES = Path(__file__).parent.parent / "triton"
_VERSION = "1"


def add_models(
    repository: Path, name: str, trees: onnx.ModelProto, network: Weights, feature_count: int
) -> None:
    """Adds trees, and the network beside them, with the configurations Triton may be told to use.

    `--model-config-name=NAME` makes Triton read `configs/NAME.pbtxt` of each model.

    Args:
        repository: made if it is not there.
        name: what the trees are called; the network is called `<name>_torch`.
        trees: the trees.
        network: the network.
        feature_count: how many features both of them take.
    """
    of_trees = _add(repository / name, _TEMPLATES / "trees", feature_count)
    onnx.save_model(trees, of_trees / "model.onnx")
    of_network = _add(repository / f"{name}{NETWORK_SUFFIX}", _TEMPLATES / "network", feature_count)
    np.savez(of_network / "weights.npz", **network)


def _add(model: Path, template: Path, feature_count: int) -> Path:
    """Returns the folder of the version of a model that is made from a template."""
    shutil.copytree(template, model, ignore=shutil.ignore_patterns("__pycache__"))
    for config in (model / "configs").glob("*.pbtxt"):
        names = {"model": model.name, "features": feature_count}
        config.write_text(Template(config.read_text()).substitute(names))
    return model / _VERSION
